# SPDX-License-Identifier: Apache-2.0
"""The `run` command."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn, Sequence

from ..programs.exit_report import ExitReport
from ..programs.preparation import prepare
from ..programs.program import CannotStart, Program, run
from .options import add_options, options_of


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
    report = ExitReport(counts=not parsed.no_report, kernels=parsed.kernels)
    prepare(options_of(parsed), report.start)
    try:
        run(program, before=report.register)
    except CannotStart as error:
        _exit_with(error)
    return 0


def split_at_program(given: Sequence[str]) -> tuple[list[str], Program | None]:
    """Our options, and the program: all from the first word that is no option, or from -m.

    >>> split_at_program(["--force", "train.py", "--", "x"])
    (['--force'], Program(name='train.py', arguments=['--', 'x'], is_module=False))
    """
    # Not left to argparse, which would take a `--` of the program's for its own.
    for index, word in enumerate(given):
        rest = list(given[index + 1 :])
        if word == "-m":
            return list(given[:index]), Program(rest[0], rest[1:], is_module=True) if rest else None
        if not word.startswith("-"):
            return list(given[:index]), Program(word, rest)
    return list(given), None


def _exit_with(error: CannotStart) -> NoReturn:
    """Ends as plain `python` does when it finds nothing to run."""
    python = getattr(sys, "orig_argv", [sys.executable])[0]
    print(f"{python}: {error}", file=sys.stderr)
    sys.exit(error.code)
