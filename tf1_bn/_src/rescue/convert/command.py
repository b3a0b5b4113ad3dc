# SPDX-License-Identifier: Apache-2.0
"""The `convert` command."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from ...files.streams import put, say
from ...files.terminal import width_of
from ...files.text_table import printable, wrapped
from .words import NAMES, WORDS

DONE, REFUSED, INTERRUPTED = 0, 2, 130


def add_convert(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "convert",
        help="take a model's values to tf.layers, contrib, Keras or PyTorch",
        usage="%(prog)s [options] SRC --to LIBRARY (-o OUT | --dry-run)",
        description=(
            "Read a TF checkpoint, a .npz, a .keras or .h5 file or a state dict of PyTorch, and "
            "write its values under the names and in the layouts of another library. A key that "
            "no rule fits is an error. SRC is never changed, and no file is unpickled. OUT is a "
            "checkpoint's name or .npz for tf.layers and contrib, .h5 (for load_weights(..., "
            "by_name=True)) or .npz for keras, .pt or .npz for torch."
        ),
        allow_abbrev=False,
    )
    _add_options(parser)
    parser.set_defaults(command=convert_command)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="a file, a folder or a checkpoint's name")
    parser.add_argument("--to", choices=NAMES, required=True, help="the library to convert to")
    parser.add_argument("-o", "--out", metavar="OUT", help="what to write")
    parser.add_argument("--dry-run", action="store_true", help="show the mapping, write nothing")
    parser.add_argument(
        "--rename",
        metavar="PATTERN=NAME",
        type=_rename,
        action="append",
        default=[],
        help="first rename keys of SRC, by regular expression: 'module\\.='",
    )
    parser.add_argument(
        "--rule",
        metavar="PATTERN=WORD",
        type=_word,
        action="append",
        default=[],
        help=(
            f"what the keys are that PATTERN fits whole: {', '.join(WORDS)}; depthwise:2 for two "
            "outputs a channel"
        ),
    )
    parser.add_argument(
        "--epsilon", type=float, help="of layers with TF 1.4's renorm, where no .meta tells"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")


def convert_command(parsed: Any) -> int:
    """`python -m tf1_bn convert SRC --to LIBRARY`; returns the exit code."""
    if parsed.out is None and not parsed.dry_run:
        say("convert: -o OUT is required, or --dry-run to write nothing")
        return REFUSED
    # Not before: the help must not wait for it.
    from .conversion import Wish, converted

    wish = Wish(
        parsed.source,
        parsed.to,
        None if parsed.dry_run else parsed.out,
        parsed.rename,
        parsed.rule,
        parsed.epsilon,
        parsed.overwrite,
    )
    try:
        return put(_told(converted(wish), wish), DONE)
    except OSError as error:
        reason = error.strerror or str(error)
        say(printable(f"{error.filename or parsed.out or parsed.source}: {reason}"))
    except (ImportError, ValueError) as error:
        first, *keys = str(error).split("\n")
        say("\n".join([printable(first), *(f"  {printable(key.strip())}" for key in keys)]))
    except KeyboardInterrupt:
        say("interrupted, nothing was written")
        return INTERRUPTED
    return REFUSED


def _told(done: Any, wish: Any) -> str:
    from .report import notes, table

    width = width_of(sys.stdout)
    lines = [*table(done.rows, width), ""]
    lines += notes(done.rows, done.parts, done.held, wish.target, width)
    end = "nothing was written (--dry-run)"
    if wish.out is not None:
        end = f"{wish.out}: written and read back, greatest difference {done.difference:g}"
    return "\n".join([*lines, *wrapped(printable(end), width)]) + "\n"


def _rename(text: str) -> tuple[str, str]:
    pattern, equals, new = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not PATTERN=NAME")
    try:
        re.sub(pattern, new, "")
        # What it names must be in the pattern, whether it fits something or not.
        re.compile(pattern)
    except (re.error, IndexError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return pattern, new


def _word(text: str) -> tuple[str, str]:
    pattern, _, word = text.rpartition("=")
    if not re.fullmatch(rf"{'|'.join(WORDS)}|depthwise:[1-9]\d{{0,5}}", word):
        raise argparse.ArgumentTypeError(f"{text!r}: WORD must be one of {', '.join(WORDS)}")
    try:
        re.compile(pattern)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return pattern, word
