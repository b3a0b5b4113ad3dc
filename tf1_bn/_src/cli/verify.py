# SPDX-License-Identifier: Apache-2.0
"""The `verify` command."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..files.streams import put, say
from ..files.terminal import width_of
from ..programs.program import ProgramFailed
from ..runtime.own_start import start_tensorflow
from .options import INTERRUPTED, add_options, add_program, recorded

if TYPE_CHECKING:
    # NumPy and TensorFlow, which the program imports.
    from ..proof.record.recorder import Recorder
    from ..proof.report.report import Report

_COULD_NOT_COMPARE = 2


def add_verify(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="replay a recording on this TensorFlow and compare",
        usage="%(prog)s [options] FILE [SCRIPT] [-- ARGS...]",
        description=(
            "Replay a recording on this TensorFlow with tf1_bn and compare; with SCRIPT also run "
            "the program, always as with --force, and compare what it builds. Exit code 0: "
            "proven, 1: different, 2: could not compare."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("recording", metavar="FILE", help="what `record` wrote")
    add_program(parser, nargs="?", help="the same program again")
    parser.add_argument("--json", metavar="FILE", help="also write the report as JSON")
    parser.add_argument("--html", metavar="FILE", help="also write the report as one HTML page")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="of the report on standard output (default %(default)s)",
    )
    parser.add_argument("--all", action="store_true", help="show the rows that agree, too")
    add_options(parser)
    # What is compared is this package's batch norm, whatever the program would find.
    parser.set_defaults(command=verify_command, force=True)


def verify_command(parsed: Any) -> int:
    """`python -m tf1_bn verify FILE [SCRIPT] [-- ARGS...]`; returns the exit code."""
    from ..proof.recording.archive import RecordingError

    try:
        report = _verified(parsed)
        code = _written(report, parsed)
        text = (
            report.as_json()
            if parsed.format == "json"
            else report.text(parsed.all, width_of(sys.stdout))
        )
        return put(text, code)
    except (ImportError, OSError, ProgramFailed, RecordingError) as error:
        say(str(error))
        return _COULD_NOT_COMPARE
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def _written(report: Report, parsed: Any) -> int:
    """Writes the files that are asked for; the exit code, which no lost file makes a success."""
    code = report.exit_code
    for path, write in ((parsed.json, report.write_json), (parsed.html, report.write_html)):
        try:
            if path:
                write(path)
        except OSError as error:
            say(f"cannot write {path}: {error.strerror or error}")
            code = code or _COULD_NOT_COMPARE
    return code


def _verified(parsed: Any) -> Report:
    from ..proof.recording.recording import load_recording

    recording = load_recording(parsed.recording)
    # First of all, so that the program imports TensorFlow itself.
    rebuilt = None if parsed.program is None else recorded(parsed, _recorder)
    start_tensorflow()
    from ..proof.structure import compare_structure
    from ..proof.verify.verifier import verify

    report = verify(recording)
    if rebuilt is None:
        return report
    structure = compare_structure(recording, rebuilt)
    return report._replace(sections=[*structure.sections, *report.sections])


def _recorder() -> Recorder:
    """Of what the program builds and runs; nothing is written and no step is needed."""
    from ..proof.record.recorder import Recorder
    from ..proof.record.sessions import Limits

    return Recorder(limits=Limits(steps=0))
