# SPDX-License-Identifier: Apache-2.0
"""The `repair` command."""

from __future__ import annotations

import argparse
import glob
import os
import re
import sys
from typing import Any

from ..files.streams import put, say
from ..files.terminal import agreed, is_terminal
from ..runtime.own_start import start_tensorflow
from .options import INTERRUPTED, USAGE_ERROR

_DECLINED = 1
# The files of a checkpoint that hold its values.
_VALUES = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def add_repair(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "repair",
        help="copy a graph so that new, or old, TensorFlow loads it",
        description=(
            "Copy a graph with fused batch norm so that the other TensorFlow loads it. Asks before "
            "it replaces OUT; without a terminal it does not replace it."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("source", metavar="IN", help="a .meta file, GraphDef or SavedModel folder")
    parser.add_argument("target", metavar="OUT", help="where to write the repaired copy")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file OUT without asking"
    )
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
        _check_names(parsed.source, parsed.target)
        _check_source(parsed.source)
        declined = _declined(parsed)
        if declined:
            return declined
        # Not before: the help and the questions must not wait for it.
        start_tensorflow()
        from ..repair import repair_any

        repair = repair_any(parsed.source, parsed.target, parsed.old_runtime)
    except OSError as error:
        say(_told(error, parsed))
        return USAGE_ERROR
    except (ImportError, ValueError) as error:
        say(str(error))
        return USAGE_ERROR
    except KeyboardInterrupt:
        say("interrupted, nothing was written")
        return INTERRUPTED
    return put(f"{parsed.target}: {repair}\n", 0)


def _check_names(source: str, target: str) -> None:
    """Raises ValueError for a name that some commands take for more than a file's."""
    for place, name in (("IN", source), ("OUT", target)):
        if name in ("", "-"):
            hint = "; a file of that name is ./-" if name else ""
            raise ValueError(f"{place} must name a file or folder (got {name!r}){hint}")
    if target.endswith(os.sep) and not os.path.isdir(source):
        raise ValueError(f"{target} is a folder's name; OUT is a file, as {source} is")


def _check_source(source: str) -> None:
    """Raises ValueError for what is no graph, with the one that is probably meant.

    FileNotFoundError if there is nothing.
    """
    if os.path.isdir(source):
        metas = glob.glob(os.path.join(glob.escape(source), "*.meta"))
        if metas and not glob.glob(os.path.join(glob.escape(source), "saved_model.pb*")):
            newest = max(metas, key=os.path.getmtime)
            raise ValueError(
                f"{source} is no SavedModel; for the graph of its checkpoint: {newest}"
            )
        return
    values = _VALUES.search(source)
    if os.path.exists(source) and not values:
        return
    prefix = source[: values.start()] if values else source.rstrip(".")
    meta = f"{prefix}.meta"
    if os.path.isfile(meta):
        raise ValueError(f"{source} is no graph; that of this checkpoint is in {meta}")
    if os.path.isfile(f"{prefix}.index"):
        raise ValueError(
            f"{source} is a checkpoint without a graph, as there is no {meta}; its values need no "
            "repair"
        )
    # Says that it is not there.
    os.stat(source)


def _declined(parsed: Any) -> int:
    """The exit code if OUT is there and is not to be replaced; 0 to go on."""
    target = parsed.target
    # What is no file is not replaced, and a folder's copy goes to a new folder only.
    if parsed.overwrite or not os.path.isfile(target) or os.path.isdir(parsed.source):
        return 0
    if os.path.samefile(parsed.source, target):
        return 0
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        say(f"{target} exists: with --overwrite it is replaced; nothing was written")
        return USAGE_ERROR
    if agreed(f"{target} exists. Replace it?"):
        return 0
    say("nothing was written")
    return _DECLINED


def _told(error: OSError, parsed: Any) -> str:
    """Which of the two paths failed, and why."""
    name = str(error.filename or "")
    if error.strerror is None:
        return str(error)
    if name == parsed.source or name.startswith(os.path.join(parsed.source, "")):
        return f"cannot read {name}: {error.strerror}"
    return f"cannot write {parsed.target}: {error.strerror}"
