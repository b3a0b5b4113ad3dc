# SPDX-License-Identifier: Apache-2.0
"""The `run` command."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Sequence

from ..files.streams import say
from ..files.terminal import width_of
from ..files.text_table import fitted
from ..programs.cures import cure
from ..programs.preparation import prepare
from ..programs.program import Program, ProgramFailed, run
from .options import add_options, exit_code

if TYPE_CHECKING:
    # TensorFlow, which the program alone imports.
    from ..programs.watching.watch import Watch

_MISTAKES, _NOTHING_TO_CHECK = 1, 2


def add_run(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "run",
        help="run an unedited TF1 program with tf1_bn.install() done",
        usage="%(prog)s [options] SCRIPT [ARGS...]\n       %(prog)s [options] -m MODULE [ARGS...]",
        description=(
            "Run a program as `python SCRIPT` or `python -m MODULE` does, with tf1_bn.install() "
            "done as soon as it imports TensorFlow."
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
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 if a layer's updates did not run, with 2 if there was none to check; "
        "a program that fails keeps its exit code",
    )


def run_command(program: Program, parsed: Any) -> int:
    """Runs the program; its exit code, its words and its exceptions are those of plain `python`.

    With `--check` a program that ends well may get another exit code, of what it built and ran
    when its main thread ended.
    """
    watches: list[Watch] = []
    last_lines: list[str] = []

    def start() -> None:
        from ..programs.watching.watch import Watch

        watches.append(Watch())
        watches[0].start()

    def report_at_exit() -> None:
        # Behind the exit handlers of the program, which register later.
        atexit.register(_tell, watches, parsed, os.getpid(), last_lines)

    prepare(parsed, start)
    try:
        run(program, before=report_at_exit)
    except ProgramFailed as error:
        _exit_with(error)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            last_lines += _said(watches, parsed, f"it ended with exit code {exit_code(stop)}")[0]
        elif not parsed.check:
            raise
        else:
            sys.exit(_checked(watches, parsed, last_lines))
        raise
    except BaseException as error:
        until = "the interruption" if isinstance(error, KeyboardInterrupt) else "the error"
        wanted = cure(error, parsed)
        if not wanted or (watches and watches[0].layers()):
            last_lines += _said(watches, parsed, until)[0]
        last_lines += [wanted] if wanted else []
        raise
    return _checked(watches, parsed, last_lines) if parsed.check else 0


def _checked(watches: list[Watch], parsed: Any, last_lines: list[str]) -> int:
    """The exit code of `--check`; what there is to say at exit goes into `last_lines`."""
    lines, code = _said(watches, parsed)
    last_lines += lines
    return code


def _said(watches: list[Watch], parsed: Any, until: str = "") -> tuple[list[str], int]:
    """The sentences of the report, and the exit code that `--check` makes of them.

    Args:
      watches: one, or none where the program did not import TensorFlow.
      parsed: the command line.
      until: what ended the program early; "" for nothing.
    """
    if not watches:
        return ["TensorFlow was not imported."] * (not parsed.no_report), _NOTHING_TO_CHECK
    from ..programs.watching.exit_report import report

    facts, mistakes = report(watches[0], until)
    known = watches[0].sees_runs and watches[0].layers()
    code = (_MISTAKES if mistakes else 0) if known else _NOTHING_TO_CHECK
    return [] if parsed.no_report else [*facts, *mistakes], code


def _tell(watches: list[Watch], parsed: Any, process: int, last_lines: list[str]) -> None:
    """Tells on standard error, after all else, what is in `last_lines` or else was seen by now."""
    # A forked child that runs exit handlers has nothing to report.
    if os.getpid() != process:
        return
    for line in last_lines or _said(watches, parsed)[0]:
        say(line)
    # A table is read by its columns.
    for line in (
        fitted(watches[0].kernels(), width_of(sys.stderr)) if parsed.kernels and watches else ()
    ):
        say(line, "")


def split_at_program(given: Sequence[str]) -> tuple[list[str], Program | None]:
    """Our options, and the program: all from the first word that is no option, or from -m.

    >>> split_at_program(["--force", "train.py", "--", "x"])
    (['--force'], Program(name='train.py', arguments=['--', 'x'], is_module=False))
    >>> split_at_program(["-mtrain", "x"])
    ([], Program(name='train', arguments=['x'], is_module=True))
    """
    # Not left to argparse, which would take a `--` of the program's for its own.
    for index, word in enumerate(given):
        ours, rest = list(given[:index]), list(given[index + 1 :])
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
