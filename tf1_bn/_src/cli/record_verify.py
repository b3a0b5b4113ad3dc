# SPDX-License-Identifier: Apache-2.0
"""The `record` and `verify` commands of `python -m tf1_bn`."""

from __future__ import annotations

import argparse
import traceback
from typing import Any, Sequence

from ..files.streams import put, say
from ..proof.record.program import Program, ProgramFailed, run_program
from ..proof.recording.recording import Recording, RecordingError, load_recording
from ..proof.report.report import COULD_NOT_COMPARE, Report

_USAGE_ERROR = 2
_INTERRUPTED = 130


def record_command(given: Sequence[str]) -> int:
    """`python -m tf1_bn record SCRIPT -o FILE [-- ARGS...]`; returns the exit code."""
    ours, arguments = _split(given)
    parsed = _record_parser().parse_args(ours)
    program = Program(parsed.program, arguments, parsed.module)
    try:
        return _record(program, parsed)
    except KeyboardInterrupt:
        say("interrupted, nothing was written")
        return _INTERRUPTED


def verify_command(given: Sequence[str]) -> int:
    """`python -m tf1_bn verify FILE [SCRIPT] [-- ARGS...]`; returns the exit code."""
    ours, arguments = _split(given)
    parsed = _verify_parser().parse_args(ours)
    try:
        report = _verified(parsed, arguments)
        code = _written(report, parsed)
        text = report.as_json() if parsed.format == "json" else report.text(parsed.all)
        return put(text, code)
    except (ImportError, OSError, ProgramFailed, RecordingError) as error:
        say(str(error))
        return COULD_NOT_COMPARE
    except KeyboardInterrupt:
        say("interrupted")
        return _INTERRUPTED


def _written(report: Report, parsed: Any) -> int:
    """Writes the files that are asked for; the exit code, which no lost file makes a success."""
    code = report.exit_code
    for path, write in ((parsed.json, report.write_json), (parsed.html, report.write_html)):
        try:
            if path:
                write(path)
        except OSError as error:
            say(f"cannot write {path}: {error.strerror or error}")
            code = code or COULD_NOT_COMPARE
    return code


def _record(program: Program, parsed: Any) -> int:
    try:
        from ..proof.record.recorder import record

        recorder = record(
            parsed.output,
            parsed.steps,
            parsed.sample_kb * 1024,
            parsed.total_mb * 2**20,
            parsed.stop,
        )
    except (ImportError, OSError, ValueError) as error:
        say(str(error))
        return _USAGE_ERROR
    try:
        with recorder:
            run_program(program)
    except ProgramFailed as error:
        say(f"{error}; nothing was written")
        return error.code
    except OSError as error:
        if recorder.recording is not None:
            say(f"cannot write {parsed.output}: {error.strerror or error}; nothing was written")
            return _USAGE_ERROR
        if not isinstance(error, BrokenPipeError):
            # The program's own, which tells where it comes from.
            raise
        say(f"the program wrote to a pipe that nobody reads ({error}); nothing was written")
        return 1
    recording = recorder.recording
    assert recording is not None, "a block that ends well has a recording"
    return _tell(recording, parsed.output)


def _tell(recording: Recording, path: str) -> int:
    steps = sum(len(call.steps) for call in recording.calls)
    say(f"{len(recording.calls)} batch-norm calls and {steps} steps recorded in {path}")
    for call in recording.calls:
        for note in call.notes:
            say(f"{call.name}: {note}")
    if not steps:
        say("no session run used a batch-norm call, so there is nothing to verify numbers with")
    return 0 if steps else 1


def _verified(parsed: Any, arguments: Sequence[str]) -> Report:
    recording = load_recording(parsed.recording)
    from ..proof.structure import compare_structure
    from ..proof.verify.verifier import verify

    report = verify(recording)
    if parsed.program is None:
        return report
    structure = compare_structure(recording, _rebuilt(parsed, arguments))
    return report._replace(sections=[*structure.sections, *report.sections])


def _rebuilt(parsed: Any, arguments: Sequence[str]) -> Recording:
    """The program once more, on this TensorFlow and with this package's batch norm."""
    import tf1_bn

    from ..proof.record.recorder import Recorder
    from ..proof.record.sessions import Limits

    # Nothing is written and no step is needed, only what the program builds and runs.
    recorder = Recorder(limits=Limits(steps=0))
    with tf1_bn.install(force=True), recorder:
        try:
            run_program(Program(parsed.program, arguments, parsed.module))
        except ProgramFailed:
            raise
        except Exception as error:
            # A program that does not run here is not compared, which is not the same as different.
            traceback.print_exc()
            raise ProgramFailed(f"the program raised {type(error).__name__}", 1) from None
    assert recorder.recording is not None, "a block that ends well has a recording"
    return recorder.recording


def _record_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tf1_bn record",
        usage="%(prog)s [options] SCRIPT -o FILE [-- ARGS...]",
        description=(
            "Run a program on the TensorFlow it was written for, and keep what its batch-norm "
            "layers do. Everything after -- is for the program."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("program", metavar="SCRIPT", help="a Python file, with -m a module")
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT names a module")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write")
    parser.add_argument("--steps", type=int, default=3, help="training runs a layer (default 3)")
    parser.add_argument(
        "--sample-kb", type=int, default=256, help="keep some channels of larger inputs"
    )
    parser.add_argument("--total-mb", type=int, default=64, help="most of all arrays together")
    parser.add_argument("--stop", action="store_true", help="end the program once all is recorded")
    return parser


def _verify_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tf1_bn verify",
        usage="%(prog)s [options] FILE [SCRIPT] [-- ARGS...]",
        description=(
            "Replay a recording on this TensorFlow with tf1_bn and compare; with SCRIPT also run "
            "the program and compare what it builds. Exit code 0: proven, 1: different, 2: could "
            "not compare."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("recording", metavar="FILE", help="what `record` wrote")
    parser.add_argument("program", metavar="SCRIPT", nargs="?", help="the same program again")
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT names a module")
    parser.add_argument("--json", metavar="FILE", help="also write the report as JSON")
    parser.add_argument("--html", metavar="FILE", help="also write the report as one HTML page")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--all", action="store_true", help="show the rows that agree, too")
    return parser


def _split(given: Sequence[str]) -> tuple[list[str], list[str]]:
    listed = list(given)
    if "--" not in listed:
        return listed, []
    at = listed.index("--")
    return listed[:at], listed[at + 1 :]
