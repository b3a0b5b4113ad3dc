# SPDX-License-Identifier: Apache-2.0
"""The `run` command."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Sequence

from ..programs.preparation import prepare
from ..programs.program import Program, ProgramFailed, run
from .options import add_options

if TYPE_CHECKING:
    # TensorFlow, which the program alone imports.
    from ..programs.watch import Watch


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


def run_command(program: Program, parsed: Any) -> int:
    """Runs the program; its exit code, its words and its exceptions are those of plain `python`."""
    watches: list[Watch] = []

    def start() -> None:
        from ..programs.watch import Watch

        watches.append(Watch())
        watches[0].start()

    def report_at_exit() -> None:
        # Behind the exit handlers of the program, which register later.
        atexit.register(_report, watches, parsed, os.getpid())

    prepare(parsed, start)
    try:
        run(program, before=report_at_exit)
    except ProgramFailed as error:
        _exit_with(error)
    return 0


def _report(watches: list[Watch], parsed: Any, process: int) -> None:
    """Tells what was counted, on standard error; there is no watch without TensorFlow."""
    # A forked child that runs exit handlers has nothing to report.
    if os.getpid() != process or sys.stderr is None:
        return
    said = []
    if not parsed.no_report:
        counts = watches[0].report() if watches else "TensorFlow was not imported"
        said.append(f"tf1_bn: {counts}.")
    if parsed.kernels and watches:
        said += watches[0].kernels()
    if not said:
        return
    try:
        print("\n".join(said), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        # Nobody reads stderr any more.
        return


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
