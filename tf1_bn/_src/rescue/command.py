# SPDX-License-Identifier: Apache-2.0
"""The `recalibrate` command."""

from __future__ import annotations

import argparse
from typing import Any

from ..files.streams import put, say
from ..files.text_table import printable
from ..runtime.own_start import start_tensorflow

_FAILED = 2


def add_recalibrate(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "recalibrate",
        help="measure the moving statistics of a checkpoint anew",
        description=(
            "Run a checkpoint's graph on data and write a new checkpoint with the moving "
            "statistics of all of that data. Unlike `doctor` this runs the graph: give it files "
            "that you trust."
        ),
        allow_abbrev=False,
    )
    parser.add_argument(
        "source", metavar="CHECKPOINT", help="its name, with a .meta file beside it"
    )
    parser.add_argument(
        "data", metavar="DATA.npz", help="an array for each placeholder, by the placeholder's name"
    )
    parser.add_argument("target", metavar="OUT", help="the new checkpoint; nothing is overwritten")
    parser.add_argument(
        "--outputs",
        metavar="NAME",
        nargs="+",
        default=[],
        help="what inference computes: only the layers that it needs are measured",
    )
    parser.add_argument("--batch-size", metavar="N", type=_whole, help="what the graph says, or 64")
    parser.add_argument(
        "--one-pass",
        action="store_true",
        help="measure all layers at once, in training, instead of one after the other",
    )
    parser.add_argument(
        "--standard-error",
        metavar="X",
        type=_positive,
        help="stop once no mean or variance is further off than this part of the spread",
    )
    parser.set_defaults(command=recalibrate_command)


def _whole(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def recalibrate_command(parsed: Any) -> int:
    """`python -m tf1_bn recalibrate CHECKPOINT DATA.npz OUT`; returns the exit code."""
    try:
        # Not before: the help must not wait for it.
        start_tensorflow()
        from .recalibrated import How, recalibrate_checkpoint

        method = "one_pass" if parsed.one_pass else "layer_by_layer"
        how = How(tuple(parsed.outputs), parsed.batch_size, method, parsed.standard_error)
        done = recalibrate_checkpoint(parsed.source, parsed.data, parsed.target, how)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        say(printable(f"{name}{error.strerror or error}"))
        return _FAILED
    except (ImportError, ValueError) as error:
        say(printable(str(error)))
        return _FAILED
    return put(f"{done}\n{printable(parsed.target)}: written\n", 0)
