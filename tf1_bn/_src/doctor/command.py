# SPDX-License-Identifier: Apache-2.0
"""The `doctor` command."""

from __future__ import annotations

import argparse
from typing import Any

from ..files.streams import put, say
from ..files.text_table import printable
from ..runtime.own_start import start_tensorflow

CLEAN, FOUND, UNREAD = 0, 1, 2


def add_doctor(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="examine the batch norm of a graph or checkpoint",
        description=(
            "Read a .meta file, a frozen graph, a SavedModel or a checkpoint, without running it: "
            "the phase and the moving statistics of each layer, and mistakes. Exit code 0: no "
            "warning, 1: warnings, 2: TARGET could not be read."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("target", metavar="TARGET", help="a file, a folder or a checkpoint's name")
    parser.add_argument("--json", action="store_true", help="for programs, instead of a table")
    parser.set_defaults(command=doctor_command)


def doctor_command(parsed: Any) -> int:
    """`python -m tf1_bn doctor TARGET`; returns the exit code."""
    try:
        # Not before: the help must not wait for it.
        start_tensorflow()
        from .examined import as_json, as_text, examined

        result = examined(parsed.target)
    except OSError as error:
        say(printable(f"cannot read {error.filename or parsed.target}: {error.strerror or error}"))
        return UNREAD
    except (ImportError, ValueError) as error:
        say(printable(str(error)))
        return UNREAD
    show = as_json if parsed.json else as_text
    return put(show(parsed.target, result), FOUND if result.findings.of("warning") else CLEAN)
