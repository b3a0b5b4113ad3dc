# SPDX-License-Identifier: Apache-2.0
"""The `repair` command."""

from __future__ import annotations

import argparse
from typing import Any

from ..files.streams import put, say
from ..runtime.after_import import import_first
from .options import INTERRUPTED, USAGE_ERROR


def add_repair(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "repair",
        help="copy a graph so that new, or old, TensorFlow loads it",
        description="Copy a graph with fused batch norm so that the other TensorFlow loads it.",
        allow_abbrev=False,
    )
    parser.add_argument("source", metavar="IN", help="a .meta file, GraphDef or SavedModel folder")
    parser.add_argument("target", metavar="OUT", help="where to write the repaired copy")
    parser.add_argument(
        "--old-runtime",
        action="store_true",
        help=(
            "also drop exponential_avg_factor, for TensorFlow up to 2.1 and runtimes of that time"
        ),
    )
    parser.set_defaults(command=repair_command)


def repair_command(parsed: Any) -> int:
    """`python -m tf1_bn repair IN OUT`; returns the exit code."""
    try:
        # TensorFlow, which the help must not wait for.
        import_first("tensorflow")
        from ..repair import repair_any

        repair = repair_any(parsed.source, parsed.target, parsed.old_runtime)
    except (ImportError, OSError, ValueError) as error:
        say(str(error))
        return USAGE_ERROR
    except KeyboardInterrupt:
        say("interrupted, nothing was written")
        return INTERRUPTED
    return put(f"{parsed.target}: {repair}\n", 0)
