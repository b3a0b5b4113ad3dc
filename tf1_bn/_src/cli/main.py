# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m tf1_bn`, one parser with a subcommand for each command."""

from __future__ import annotations

import argparse
import sys
from typing import Sequence

from ..files.streams import carried_out
from .options import split_at_dashes
from .record import add_record
from .repair import add_repair
from .run import add_run, run_command, split_at_program
from .verify import add_verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries out the command line and returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        # How that program ends is between Python and the program.
        return _run(given)
    return carried_out(_other_command, given)


def _run(given: list[str]) -> int:
    parser = _parsers()[1]["run"]
    ours, program = split_at_program(given[1:])
    parsed = parser.parse_args(ours)
    if program is None:
        parser.error("a SCRIPT or -m MODULE is required")
    return run_command(program, parsed)


def _other_command(given: Sequence[str]) -> int:
    parser, commands = _parsers()
    if given[:1] and given[0] in commands:
        name, parser = given[0], commands[given[0]]
        ours, behind = split_at_dashes(given[1:]) if name != "repair" else (list(given[1:]), [])
        # Options may stand between FILE and SCRIPT.
        parsed = parser.parse_intermixed_args(ours)
        if behind and parsed.program is None:
            parser.error("what stands behind -- is for a SCRIPT, and there is none")
        parsed.program_arguments = behind
        code: int = parsed.command(parsed)
        return code
    # Says what there is.
    parser.parse_args(given)
    return 0


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of all commands, and that of each."""
    parser = argparse.ArgumentParser(
        prog="python -m tf1_bn",
        description="TF1's graph-mode batch normalization, without Keras.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.required = True
    # Named in the error of a command line without a command.
    commands.dest = "command_name"
    for add in (add_run, add_record, add_verify, add_repair):
        add(commands)
    return parser, commands.choices
