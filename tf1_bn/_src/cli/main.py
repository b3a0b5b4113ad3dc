# SPDX-License-Identifier: Apache-2.0
"""The command line, `tf1_bn` or `python -m tf1_bn`: a subcommand for each command."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from typing import Any, Iterator, Sequence

from ..doctor.command import add_doctor
from ..files.streams import carried_out, put, say
from ..rescue.command import add_recalibrate, add_rescue
from ..rescue.convert.command import add_convert
from ..rescue.export_command import add_export
from ..version import __version__
from .options import INTERRUPTED, USAGE_ERROR, split_at_dashes, unrecognized
from .record import add_record
from .repair import add_repair
from .run import add_run, run_command, split_at_program
from .scan import add_scan
from .verify import add_verify

# Of `run`; others are often a program's own, too.
_OURS_BEHIND_THE_PROGRAM = (
    *("--tf1-alias", "--neighbours", "--contrib", "--compat"),
    *("--kernels", "--no-report"),
)
# They run no program that somebody wrote, which may have signals of its own.
_WRITERS = ("recalibrate", "export", "convert", "rescue")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries out the command line and returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        # How that program ends is between Python and the program.
        return _run(given)
    return carried_out(_interruptible, given)


def _interruptible(given: Sequence[str]) -> int:
    try:
        with _ended_by_a_signal(given):
            return _other_command(given)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


@contextlib.contextmanager
def _ended_by_a_signal(given: Sequence[str]) -> Iterator[None]:
    """Makes an exception of SIGTERM where files are written: what is half done is cleaned away."""
    if given[:1] and given[0] in _WRITERS and threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _terminated)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    else:
        yield


def _terminated(number: int, _: Any) -> None:
    # Once more it ends at once.
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)


def _run(given: list[str]) -> int:
    parser = _parsers()[1]["run"]
    ours, program = split_at_program(given[1:])
    parsed, unknown = parser.parse_known_args(ours)
    if unknown:
        parser.error(unrecognized(parser, unknown))
    if program is None:
        parser.error("a SCRIPT or -m MODULE is required")
    for word in program.arguments:
        # Without a report every word is the program's.
        if word in _OURS_BEHIND_THE_PROGRAM and word not in ours and not parsed.no_report:
            place = f"{word} stands behind {program.name}, so it is for the program and not for us"
            say(f"{place}; write it before {program.name} to give it to tf1_bn")
    return run_command(program, parsed)


def _other_command(given: Sequence[str]) -> int:
    parser, commands = _parsers()
    if given[:1] and given[0] in commands:
        name, parser = given[0], commands[given[0]]
        ours, behind = (
            split_at_dashes(given[1:])
            if name
            not in ("repair", "scan", "doctor", "recalibrate", "export", "convert", "rescue")
            else (list(given[1:]), [])
        )
        # Options may stand between FILE and SCRIPT.
        parsed, unknown = parser.parse_known_intermixed_args(ours)
        if unknown:
            of_program = "; arguments of SCRIPT stand behind --"
            hint = of_program if getattr(parsed, "program", None) else ""
            parser.error(f"{unrecognized(parser, unknown)}{hint}")
        if behind and parsed.program is None:
            parser.error("what stands behind -- is for a SCRIPT, and there is none")
        parsed.program_arguments, parsed.given = behind, list(given)
        parsed.cure = ""
        code: int = parsed.command(parsed)
        if parsed.cure:
            say(parsed.cure)
        return code
    if not given:
        # As after a command line that lacks something, so that no script takes it for done.
        return put(parser.format_help(), USAGE_ERROR)
    _refuse_without_command(parser, commands, given)
    # Says what there is.
    parser.parse_args(given)
    return 0


def _refuse_without_command(
    parser: argparse.ArgumentParser, commands: dict[str, Any], given: Sequence[str]
) -> None:
    """Ends with a hint where a command line has no command in front but a way to mend it."""
    first, *others = given
    command = next((word for word in others if word in commands), None)
    if first.startswith("-") and first not in ("-h", "--help", "--version") and command:
        parser.error(f"{first} stands before {command}: options of a command stand behind it")
    if os.path.isfile(first):
        parser.error(f"{first} is no command; to run it: {parser.prog} run {' '.join(given)}")


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of all commands, and that of each."""
    parser = argparse.ArgumentParser(
        prog=_called(),
        description="TF1's graph-mode batch normalization, without Keras.",
        epilog=(
            "COMMAND --help tells more. verify, repair, doctor, recalibrate, export, convert and "
            "rescue silence TensorFlow's start-up messages; set TF_CPP_MIN_LOG_LEVEL=0 to see them."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tf1_bn {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.required = True
    # Named in the error of a command line without a command.
    commands.dest = "command_name"
    others = (add_verify, add_repair, add_scan, add_doctor, add_recalibrate, add_export)
    for add in (add_run, add_record, *others, add_convert, add_rescue):
        add(commands)
    return parser, commands.choices


def _called() -> str:
    """How we were called: by the console script's name, or as a module."""
    name = os.path.splitext(os.path.basename(sys.argv[0] or ""))[0]
    return "tf1_bn" if name == "tf1_bn" else "python -m tf1_bn"
