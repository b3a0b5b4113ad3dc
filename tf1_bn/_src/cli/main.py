# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m tf1_bn`."""

from __future__ import annotations

import argparse
import sys
from typing import Sequence

from ..files.streams import carried_out
from ..programs.run import CannotStart, Options, Program, exit_with, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries out the command line and returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        return _run(given[1:])
    if given[:1] in (["record"], ["verify"]):
        from .record_verify import record_command, verify_command

        command = record_command if given[0] == "record" else verify_command
        return carried_out(command, given[1:])
    if given[:1] == ["repair"]:
        # Imports TensorFlow, which the help must not wait for.
        from ..repair import main as repair_main

        return carried_out(repair_main, given[1:])
    return carried_out(_no_command, given)


def _no_command(given: Sequence[str]) -> int:
    # Without a command, or with a wrong one, argparse says what there is.
    _commands().parse_args(given)
    return 0


def _commands() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tf1_bn",
        description="TF1's graph-mode batch normalization, without Keras.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    commands.required = True
    commands.add_parser("run", help="run an unedited TF1 program with tf1_bn.install() done")
    commands.add_parser("record", help="keep what a program's batch-norm layers do")
    commands.add_parser("verify", help="replay a recording on this TensorFlow and compare")
    commands.add_parser("repair", help="copy a graph so that new, or old, TensorFlow loads it")
    return parser


def _run(given: list[str]) -> int:
    parser = _run_parser()
    ours, program = _split(given)
    parsed = parser.parse_args(ours)
    if program is None:
        parser.error("a SCRIPT or -m MODULE is required")
    options = Options(
        neighbours=parsed.neighbours,
        force=parsed.force,
        tf1_alias=parsed.tf1_alias,
        report=not parsed.no_report,
        kernels=parsed.kernels,
    )
    try:
        run(program, options)
    except CannotStart as error:
        exit_with(error)
    return 0


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tf1_bn run",
        usage="%(prog)s [options] SCRIPT [ARGS...]\n       %(prog)s [options] -m MODULE [ARGS...]",
        description=(
            "Run a program as `python SCRIPT` or `python -m MODULE` does, with tf1_bn.install() "
            "done as soon as it imports TensorFlow."
        ),
        allow_abbrev=False,
    )
    flags = (
        ("--neighbours", "also bring back the other tf.layers and tf.nn.rnn_cell"),
        ("--force", "also replace an original batch normalization that works"),
        (
            "--tf1-alias",
            "`import tensorflow` gives tensorflow.compat.v1, v2 behaviour disabled (no contrib)",
        ),
        ("--kernels", "list at exit which kernel each layer got, and why"),
        ("--no-report", "do not say at exit how many layers were built and updated"),
    )
    for flag, effect in flags:
        parser.add_argument(flag, action="store_true", help=effect)
    return parser


def _split(given: list[str]) -> tuple[list[str], Program | None]:
    """Our options, and the program: all from the first word that is no option, or from -m."""
    # Not left to argparse, which would take a `--` of the program's for its own.
    for index, word in enumerate(given):
        if word == "-m":
            rest = given[index + 1 :]
            return given[:index], Program(rest[0], rest[1:], is_module=True) if rest else None
        if not word.startswith("-"):
            return given[:index], Program(word, given[index + 1 :])
    return given, None
