# SPDX-License-Identifier: Apache-2.0
"""The `verify` command."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..files.page import START
from ..files.streams import put, reason, say
from ..files.terminal import width_of
from ..files.whole_files import check_report
from ..programs.program import ProgramFailed
from ..runtime.own_start import start_tensorflow
from .listening import checked
from .options import INTERRUPTED, add_options, add_program, check_program
from .rebuilding import rebuilt

if TYPE_CHECKING:
    # NumPy and TensorFlow, which the program imports.
    from ..proof.recording.recording import Recording
    from ..proof.report.report import Report

_COULD_NOT_COMPARE = 2
# How reports of both formats start, which a later one may replace.
_STARTS = (
    b'{\n "title": ',
    START.encode(),
)


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

    parsed.told = None
    try:
        if parsed.program is not None:
            check_program(parsed)
        elif parsed.check:
            raise ProgramFailed("verify: --check needs a SCRIPT, whose graphs are checked", 2)
        files = _writable(parsed)
        report = _verified(parsed)
    except (ImportError, OSError, ProgramFailed, RecordingError) as error:
        say(str(error))
        return _COULD_NOT_COMPARE
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    is_json = parsed.format == "json"
    text = report.as_json() if is_json else report.text(parsed.all, width_of(sys.stdout))
    code = put(text, report.exit_code)
    # Behind the verdict: a pipe that nobody reads yet makes us wait.
    _write(report, files)
    if not parsed.told:
        return code
    from ..doctor.programs.telling import Told

    return checked(code, parsed.check, Told(*parsed.told))


def _writable(parsed: Any) -> list[tuple[str, str]]:
    """The files that are asked for, each with its format; told now if one cannot be written."""
    found: list[tuple[str, str]] = []
    for path, kind in ((parsed.json, "json"), (parsed.html, "html")):
        if path is None:
            continue
        try:
            read = [parsed.recording, parsed.program or ""]
            others = [each for each, _ in found]
            check_report(path, _STARTS, read, others, "verified", "--format json is")
        except OSError as error:
            say(f"cannot write {path}: {reason(error)}; the verdict is told without it")
        else:
            found.append((path, kind))
    return found


def _write(report: Report, files: list[tuple[str, str]]) -> None:
    """Writes the files; that one cannot be written costs no verdict."""
    for path, kind in files:
        try:
            (report.write_json if kind == "json" else report.write_html)(path)
        except OSError as error:
            say(f"cannot write {path}: {reason(error)}")


def _verified(parsed: Any) -> Report:
    from ..proof.recording.recording import load_recording
    from ..proof.report.provenance import provenance

    recording = load_recording(parsed.recording)
    made_by = provenance(parsed.recording, ["python", "-m", "tf1_bn", *parsed.given])
    built: Recording | None = None
    failed = ""
    if parsed.program is not None:
        built, failed = rebuilt(parsed, output_to_stderr=parsed.format == "json")
        if failed:
            say(failed)
    start_tensorflow()
    from ..proof.structure import compare_program
    from ..proof.verify.verifier import verify

    report = verify(recording)
    report = report._replace(facts={**report.facts, **made_by})
    if parsed.program is not None:
        sections = compare_program(recording, built, failed)
        report = report._replace(sections=[*sections, *report.sections])
    return report
