# SPDX-License-Identifier: Apache-2.0
"""The `record` command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..files.streams import say
from ..files.text_table import counted
from ..programs.program import ProgramFailed
from ..proof.record.request import check_request
from .options import INTERRUPTED, USAGE_ERROR, add_options, add_program, is_untouched, recorded

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
    parser.add_argument("--stop", action="store_true", help="end the program once all is recorded")
    add_options(parser)
    parser.set_defaults(command=record_command)


def record_command(parsed: Any) -> int:
    """`python -m tf1_bn record SCRIPT -o FILE [-- ARGS...]`; returns the exit code."""
    try:
        return _record(parsed)
    except KeyboardInterrupt:
        say("interrupted, nothing was written")
        return INTERRUPTED


def _record(parsed: Any) -> int:
    sizes = {"--sample-kb": parsed.sample_kb, "--total-mb": parsed.total_mb}
    try:
        check_request(parsed.output, parsed.steps, sizes, words=("--output", "--steps"))
    except (OSError, ValueError) as error:
        say(str(error))
        return USAGE_ERROR
    try:
        recording = recorded(parsed, lambda: _recorder(parsed), is_untouched(parsed))
    except ProgramFailed as error:
        say(f"{error}; nothing was written")
        return error.code
    except OSError as error:
        say(f"cannot write {parsed.output}: {error.strerror or error}; nothing was written")
        return USAGE_ERROR
    return _tell(recording, parsed.output)


def _recorder(parsed: Any) -> Recorder:
    from ..proof.record.recorder import record

    return record(
        parsed.output,
        parsed.steps,
        parsed.sample_kb * 1024,
        parsed.total_mb * 2**20,
        parsed.stop,
    )


def _tell(recording: Recording, path: str) -> int:
    steps = sum(len(call.steps) for call in recording.calls)
    calls = counted(len(recording.calls), "batch-norm call")
    say(f"{calls} and {counted(steps, 'step')} recorded in {path}")
    for call in recording.calls:
        for note in call.notes:
            say(f"{call.name}: {note}")
    if not steps:
        say("no session run used a batch-norm call, so there is nothing to verify numbers with")
    return 0 if steps else 1
