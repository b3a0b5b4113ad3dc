# SPDX-License-Identifier: Apache-2.0
"""The commands `recalibrate` and `rescue`."""

from __future__ import annotations

import argparse
from typing import Any

from ..files.streams import put, say
from ..files.text_table import printable
from ..runtime.own_start import start_tensorflow
from .export_command import names, phases

_BATCH = "examples in a batch: what the graph says, or 64"
_PHASE = "set a tensor, such as keep_prob=1"
_STOPPED, _FAILED, _INTERRUPTED = 1, 2, 130


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
    parser.add_argument(
        "-o",
        "--out",
        dest="target",
        metavar="OUT",
        required=True,
        help="the new checkpoint; nothing is overwritten",
    )
    parser.add_argument(
        "--outputs",
        metavar="NAMES",
        default="",
        help="what inference computes: only the layers that it needs are measured",
    )
    parser.add_argument("--batch-size", metavar="N", type=_whole, help=_BATCH)
    _add_method(parser)
    parser.set_defaults(command=recalibrate_command)


def _add_method(parser: argparse.ArgumentParser) -> None:
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


def listed(words: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    return tuple(word.strip() for word in words.split(",") if word.strip())


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
    """`python -m tf1_bn recalibrate CHECKPOINT DATA.npz -o OUT`; returns the exit code."""
    try:
        # Not before: the help must not wait for it.
        start_tensorflow()
        from .recalibrated import How, recalibrate_checkpoint

        method = "one_pass" if parsed.one_pass else "layer_by_layer"
        how = How(listed(parsed.outputs), parsed.batch_size, method, parsed.standard_error)
        done = recalibrate_checkpoint(parsed.source, parsed.data, parsed.target, how)
    except (OSError, ImportError, ValueError) as error:
        return _failed(error, parsed.target)
    return put(f"{done}\n{printable(parsed.target)}: written\n", 0)


def _failed(error: Exception, target: str) -> int:
    if isinstance(error, OSError):
        # A full disk names no file.
        say(printable(f"{error.filename or target}: {error.strerror or error}"))
    else:
        say(printable(str(error)))
    return _FAILED


def add_rescue(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "rescue",
        help="repair, recalibrate and export an old model, each step proven",
        description=(
            "From an old checkpoint, or a graph frozen in training mode, to a file for inference: "
            "repair the graph, measure the moving statistics on data, export. Stops at the first "
            "step that cannot be proven, and writes nothing then: exit code 1. Exit code 2: "
            "something could not be read or written. Runs the graph: give it files that you trust."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("source", metavar="META_OR_CHECKPOINT", help="or a frozen graph (.pb)")
    parser.add_argument(
        "--outputs", metavar="NAMES", required=True, help="tensors to serve: scores,KEY=boxes:0"
    )
    parser.add_argument("-o", "--out", dest="target", metavar="PATH", required=True)
    parser.add_argument(
        "--data", metavar="DATA.npz", help="an array for each placeholder, by its name"
    )
    parser.add_argument("--batch-size", metavar="N", type=_whole, help=_BATCH)
    parser.add_argument(
        "--format", choices=("graph_def", "saved_model", "tflite"), default="graph_def"
    )
    parser.add_argument("--phase", metavar="NAME=VALUE", action="append", default=[], help=_PHASE)
    parser.add_argument("--fold", action="store_true", help="put the layers into the convolutions")
    parser.set_defaults(command=rescue_command)


def rescue_command(parsed: Any) -> int:
    """`python -m tf1_bn rescue SOURCE --outputs NAMES -o PATH`; returns the exit code."""
    try:
        outputs, phase = names(parsed.outputs), phases(parsed.phase)
        start_tensorflow()
        from .rescue import Stopped, Wish, rescue
    except (ImportError, ValueError) as error:
        return _failed(error, parsed.target)
    wish = Wish(
        outputs,
        parsed.target,
        parsed.data,
        parsed.format,
        phase,
        parsed.fold,
        parsed.batch_size,
    )
    try:
        rescue(parsed.source, wish, lambda text: put(f"{text}\n", 0))
    except Stopped as error:
        say(printable(f"stopped at {error}"))
        return _STOPPED
    except (OSError, ValueError) as error:
        return _failed(error, parsed.target)
    except KeyboardInterrupt:
        say("interrupted, nothing was written")
        return _INTERRUPTED
    return 0
