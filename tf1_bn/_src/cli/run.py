# SPDX-License-Identifier: Apache-2.0
"""The `run` command."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Sequence

from ..doctor.command import ignored
from ..files.streams import room_of, say
from ..files.terminal import width_of
from ..files.text_table import fitted
from ..programs.cures import cure
from ..programs.preparation import prepare
from ..programs.program import Program, ProgramFailed, run
from .options import WITH_A_VALUE, add_options, exit_code

if TYPE_CHECKING:
    # TensorFlow, which the program alone imports.
    from ..doctor.programs.attending import Attending

_NOTHING_TO_CHECK = 2


def add_run(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "run",
        help="run an unedited TF1 program with tf1_bn.install() done",
        usage="%(prog)s [options] SCRIPT [ARGS...]\n       %(prog)s [options] -m MODULE [ARGS...]",
        description=(
            "Run a program as `python SCRIPT` or `python -m MODULE` does, with tf1_bn.install() "
            "done as soon as it imports TensorFlow; and say at its end what was built and ran, "
            "and what is wrong with it. Exit code: the program's; with --check of one that ends "
            "well 1 if there are warnings, 2 if there was no layer to check."
        ),
        allow_abbrev=False,
    )
    add_options(parser)
    parser.add_argument(
        "--kernels",
        action="store_true",
        help="list at exit which kernel each layer got, and why",
    )
    parser.add_argument(
        "--no-report",
        action="store_true",
        help="do not say at exit how many layers were built and updated",
    )


def run_command(program: Program, parsed: Any) -> int:
    """Runs the program; its exit code, its words and its exceptions are those of plain `python`.

    With `--check` a program that ends well may get another exit code, of what it built and ran
    when its main thread ended.
    """
    doctors: list[Attending] = []
    last_lines: list[str] = []

    def start() -> None:
        from ..doctor.programs.attending import Attending

        doctors.append(Attending(judges=parsed.check or not parsed.no_report))
        doctors[0].start()

    def report_at_exit() -> None:
        # Behind the exit handlers of the program, which register later.
        atexit.register(_tell, doctors, parsed, os.getpid(), last_lines)

    prepare(parsed, start)
    try:
        run(program, before=report_at_exit)
    except ProgramFailed as error:
        _exit_with(error)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            last_lines += _said(doctors, parsed, f"it ended with exit code {exit_code(stop)}")[0]
        elif not parsed.check:
            raise
        else:
            sys.exit(_checked(doctors, parsed, last_lines))
        raise
    except BaseException as error:
        until = "the interruption" if isinstance(error, KeyboardInterrupt) else "the error"
        wanted = cure(error, parsed)
        if not wanted or (doctors and doctors[0].watch.layers()):
            last_lines += _said(doctors, parsed, until)[0]
        last_lines += [wanted] if wanted else []
        raise
    return _checked(doctors, parsed, last_lines) if parsed.check else 0


def _checked(doctors: list[Attending], parsed: Any, last_lines: list[str]) -> int:
    """The exit code of `--check`; what there is to say at exit goes into `last_lines`."""
    lines, code = _said(doctors, parsed)
    last_lines += lines
    return code


def _said(doctors: list[Attending], parsed: Any, until: str = "") -> tuple[list[str], int]:
    """The sentences of the report, and the exit code that `--check` makes of them.

    Args:
      doctors: one, or none where the program did not import TensorFlow.
      parsed: the command line.
      until: what ended the program early; "" for nothing.
    """
    if not doctors:
        return ["TensorFlow was not imported."] * (not parsed.no_report), _NOTHING_TO_CHECK
    if parsed.no_report and not parsed.check:
        return [], 0
    from ..doctor.programs.telling import told

    said = told(doctors[0], room_of(sys.stderr), until, parsed.check, ignored(parsed))
    return [] if parsed.no_report else said.lines, said.code


def _tell(doctors: list[Attending], parsed: Any, process: int, last_lines: list[str]) -> None:
    """Tells on standard error, after all else, what is in `last_lines` or else was seen by now."""
    # A forked child that runs exit handlers has nothing to report.
    if os.getpid() != process:
        return
    for line in last_lines or _said(doctors, parsed)[0]:
        say(line)
    for doctor in doctors:
        doctor.stop()
    # A table is read by its columns.
    kernels = doctors[0].watch.kernels() if parsed.kernels and doctors else []
    for line in fitted(kernels, width_of(sys.stderr)) if kernels else ():
        say(line, "")


def split_at_program(given: Sequence[str]) -> tuple[list[str], Program | None]:
    """Our options, and the program: all from the first word that is no option, or from -m.

    >>> split_at_program(["--force", "train.py", "--", "x"])
    (['--force'], Program(name='train.py', arguments=['--', 'x'], is_module=False))
    >>> split_at_program(["--ignore", "BN304", "train.py"])
    (['--ignore', 'BN304'], Program(name='train.py', arguments=[], is_module=False))
    >>> split_at_program(["-mtrain", "x"])
    ([], Program(name='train', arguments=['x'], is_module=True))
    """
    # Not left to argparse, which would take a `--` of the program's for its own.
    for index, word in enumerate(given):
        ours, rest = list(given[:index]), list(given[index + 1 :])
        if ours[-1:] and ours[-1] in WITH_A_VALUE and not word.startswith("-"):
            continue
        if word.startswith("-m"):
            named = [word[2:], *rest] if word[2:] else rest
            return ours, Program(named[0], named[1:], is_module=True) if named else None
        if word == "-" or not word.startswith("-"):
            return ours, Program(word, rest)
    return list(given), None


def _exit_with(error: ProgramFailed) -> NoReturn:
    """Ends as plain `python` does when it finds nothing to run."""
    python = getattr(sys, "orig_argv", [sys.executable])[0]
    print(f"{python}: {error}", file=sys.stderr)
    sys.exit(error.code)
