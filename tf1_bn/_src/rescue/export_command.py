# SPDX-License-Identifier: Apache-2.0
"""The `export` command."""

from __future__ import annotations

import argparse
import glob
import os
from typing import Any

from ..doctor.places import SAVED_MODEL
from ..files.streams import put, say
from ..files.text_table import printable
from ..files.whole_files import is_same_file
from ..runtime.own_start import start_tensorflow

_REFUSED, USAGE_ERROR, INTERRUPTED = 1, 2, 130


def add_export(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write a checkpoint's model for inference, with its proof",
        description=(
            "Set the phase of a checkpoint's graph to inference, drop updates and dead branches, "
            "freeze it, and prove what was written in a new process. Exit code 0: written and "
            "proven, 1: refused, and nothing written, 2: something could not be read or written."
        ),
        allow_abbrev=False,
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT_OR_META", help="a checkpoint's name, its .meta or folder"
    )
    parser.add_argument(
        "--outputs", metavar="NAMES", required=True, help="tensors to serve: scores,KEY=boxes:0"
    )
    parser.add_argument(
        "--inputs", metavar="NAMES", help="tensors to feed (default: the placeholders needed)"
    )
    parser.add_argument("-o", "--out", metavar="PATH", required=True, help="what to write")
    parser.add_argument(
        "--format",
        choices=("graph_def", "saved_model", "tflite"),
        default="graph_def",
        help="of PATH (default %(default)s)",
    )
    parser.add_argument(
        "--phase",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="set a tensor, such as keep_prob=1; False: also rewrite layers of training=True",
    )
    parser.add_argument(
        "--fold", action="store_true", help="put the layers into the convolutions beside them"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file PATH")
    parser.set_defaults(command=export_command)


def export_command(parsed: Any) -> int:
    """`python -m tf1_bn export CHECKPOINT --outputs NAMES -o PATH`; returns the exit code."""
    try:
        _check_out(parsed)
        outputs, inputs = names(parsed.outputs), names(parsed.inputs) if parsed.inputs else None
        phase = phases(parsed.phase)
        # Not before: the help must not wait for it.
        start_tensorflow()
        from .export.export import export_inference
        from .models import opened

        with opened(parsed.checkpoint) as model:
            _check_not_read(parsed, model.prefix)
            try:
                report = export_inference(
                    model.session,
                    outputs,
                    parsed.out,
                    format=parsed.format,
                    phase=phase,
                    fold=parsed.fold,
                    inputs=inputs,
                )
            except ValueError as error:
                say(printable(f"{error} Nothing was written."))
                return _REFUSED
    except OSError as error:
        name = error.filename or parsed.out
        say(printable(f"{name}: {error.strerror or error}; nothing was written"))
        return USAGE_ERROR
    except (ImportError, ValueError) as error:
        say(printable(str(error)))
        return USAGE_ERROR
    except KeyboardInterrupt:
        say("interrupted, nothing was written")
        return INTERRUPTED
    return put(f"{report}\n", 0)


def names(words: str) -> Any:
    """The tensors of a list with commas; a dict where they have keys.

    >>> names("a,b:1"), names("x=a")
    (['a', 'b:1'], {'x': 'a'})

    Raises:
      ValueError: some have keys and some have none.
    """
    parts = [word.strip() for word in words.split(",") if word.strip()]
    keys = [part.partition("=") for part in parts]
    if not any(equals for _, equals, _ in keys):
        return parts
    if not all(key and equals and name for key, equals, name in keys):
        raise ValueError(f"{words}: write KEY=NAME for each of them, or for none.")
    return {key: name for key, _, name in keys}


def phases(words: list[str]) -> Any:
    """What `--phase` says, as `export_inference` takes it.

    >>> phases([]), phases(["False", "training", "keep=0.5"])
    (None, [False, 'training', {'keep': 0.5}])

    Raises:
      ValueError: a value is no number.
    """
    found: list[Any] = []
    for word in words:
        name, equals, value = word.partition("=")
        if word == "False":
            found.append(False)
        elif not equals:
            found.append(name)
        else:
            found.append({name: _number(word, value)})
    return found or None


def _number(word: str, value: str) -> Any:
    if value in ("True", "False"):
        return value == "True"
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"--phase {word}: {value!r} is no number.") from None


def _check_not_read(parsed: Any, prefix: str | None) -> None:
    """Raises ValueError where PATH is a file of what is exported, by whatever name."""
    folder = os.path.dirname(prefix or parsed.checkpoint)
    read = [parsed.checkpoint, os.path.join(folder, "checkpoint")]
    read += glob.glob(f"{glob.escape(prefix)}.*") if prefix is not None else []
    read += [os.path.join(parsed.checkpoint, SAVED_MODEL)]
    if any(is_same_file(parsed.out, each) for each in read):
        raise ValueError(f"{parsed.out} belongs to the checkpoint: name another file")


def _check_out(parsed: Any) -> None:
    """Raises ValueError for a place that is taken."""
    out = parsed.out
    if out in ("", "-"):
        raise ValueError(f"PATH must name a file or folder (got {out!r})")
    if os.path.isfile(out) and not parsed.overwrite:
        raise ValueError(f"{out} exists: with --overwrite it is replaced; nothing was written")
