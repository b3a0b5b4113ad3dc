# SPDX-License-Identifier: Apache-2.0
"""The `record` command."""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import TYPE_CHECKING, Any

from ..files.streams import reason, say
from ..files.text_table import counted
from ..programs.program import ProgramFailed
from ..proof.record.request import check_request
from .listening import checked, listened
from .options import USAGE_ERROR, add_options, add_program, check_program, is_untouched

if TYPE_CHECKING:
    # NumPy and TensorFlow, which the program imports.
    from ..proof.record.recorder import Recorder
    from ..proof.recording.recording import Recording


def add_record(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "record",
        help="keep what a program's batch-norm layers do",
        usage="%(prog)s [options] SCRIPT -o FILE [-- ARGS...]",
        description=(
            "Run a program on the TensorFlow it was written for, and keep what its batch-norm "
            "layers do. Everything after -- is for the program."
        ),
        allow_abbrev=False,
    )
    add_program(parser, help="a Python file, with -m a module")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write")
    parser.add_argument(
        "--steps", type=int, default=3, help="training runs a layer (default %(default)s)"
    )
    parser.add_argument(
        "--sample-kb",
        type=int,
        default=256,
        help="of inputs larger than this, keep some channels (default %(default)s)",
    )
    parser.add_argument(
        "--total-mb", type=int, default=64, help="most of all arrays together (default %(default)s)"
    )
    parser.add_argument(
        "--stop", action="store_true", help="end the program once its training steps are in"
    )
    add_options(parser)
    parser.set_defaults(command=record_command)


def record_command(parsed: Any) -> int:
    """`python -m tf1_bn record SCRIPT -o FILE [-- ARGS...]`; returns the exit code."""
    sizes = {"--sample-kb": parsed.sample_kb, "--total-mb": parsed.total_mb}
    try:
        check_program(parsed)
        check_request(parsed.output, parsed.steps, sizes, words=("--output", "--steps"))
    except OSError as error:
        say(str(error) if error.errno is None else f"cannot write {parsed.output}: {reason(error)}")
        return USAGE_ERROR
    except (ProgramFailed, ValueError) as error:
        say(str(error))
        return USAGE_ERROR
    process = os.getpid()
    recorder, failed, told = listened(
        parsed,
        lambda: _recorder(parsed),
        is_untouched(parsed),
        lambda *ended: _tell(parsed.output, *ended),
    )
    if os.getpid() != process:
        # A child that the program forked, at its end: the recording is its parent's.
        return failed.code if failed is not None else 0
    return checked(_tell(parsed.output, recorder, failed), parsed.check, told)


def _recorder(parsed: Any) -> Recorder:
    from ..proof.record.recorder import record

    warning = _no_original()
    if warning:
        say(f"{warning}; calls of tf1_bn are recorded all the same")
    return record(
        parsed.output,
        parsed.steps,
        parsed.sample_kb * 1024,
        parsed.total_mb * 2**20,
        parsed.stop,
    )


def _tell(path: str, recorder: Recorder | None, failed: ProgramFailed | None) -> int:
    """Says what is recorded, and how the program ended; returns the exit code."""
    because = "" if failed is None else f"{failed}; "
    recording = None if recorder is None else recorder.recording
    steps = 0 if recording is None else sum(len(call.steps) for call in recording.calls)
    code = failed.code if failed is not None else int(not steps)
    if recorder is None or recording is None or not recording.calls:
        say(f"{because}{_nothing(recorder)}; nothing was written")
        return code
    where = recorder.written
    if recorder.unwritten is not None:
        say(f"cannot write {path}: {reason(recorder.unwritten)}")
        where, code = _written_elsewhere(recording, path), code or USAGE_ERROR
    calls = counted(len(recording.calls), "batch-norm call")
    told = f"recorded in {where}" if where else "recorded, but nothing was written"
    say(f"{because}{calls} and {counted(steps, 'step')} {told}")
    for call in recording.calls:
        for note in call.notes:
            say(f"{call.name}: {note}")
    if not steps:
        say("no session run used a batch-norm call, so there is nothing to verify numbers with")
    return code


def _nothing(recorder: Recorder | None) -> str:
    """Why there is nothing in a recording."""
    if recorder is None:
        return "nothing was recorded"
    if recorder.has_calls:
        return "no session run used a batch-norm call"
    if _no_original():
        return "no batch-norm call was seen, and this TensorFlow has no original one"
    return "no batch-norm call was seen, neither of tf.layers, nor of contrib, TF-Slim or tf1_bn"


def _no_original() -> str:
    """A sentence where this TensorFlow has no batch normalization of its own, else ""."""
    from ..programs.namespaces import layers
    from ..runtime.tensorflow_v1 import tf

    if not layers().lost:
        return ""
    return (
        f"TensorFlow {tf.__version__} has no original batch normalization to record: record where "
        "the program still runs, on TensorFlow 2.15 or older"
    )


def _written_elsewhere(recording: Recording, path: str) -> str | None:
    """The file that the recording went to since `path` takes it no more; None for none."""
    from ..proof.recording.recording import save_recording

    try:
        folder = tempfile.mkdtemp(prefix="tf1_bn-")
        elsewhere = os.path.join(folder, os.path.basename(path))
        save_recording(recording, elsewhere)
    except OSError:
        return None
    return elsewhere
