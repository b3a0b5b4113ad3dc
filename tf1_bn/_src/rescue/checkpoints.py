# SPDX-License-Identifier: Apache-2.0
"""A new checkpoint beside an old one: the same keys and values, but for those that are given."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from typing import Any, Iterator, Mapping

import numpy as np

from ..files.whole_files import is_same_file
from ..runtime.tensorflow_v1 import tf
from .averages.held import line_of

_ENDS = (".data-00000-of-00001", ".meta", ".index")


def check_new(target: str, source: str | None) -> None:
    """Raises ValueError where a checkpoint or folder of that name is there, OSError without room.

    `source` is what is read, which is never overwritten.
    """
    if not os.path.basename(target):
        raise ValueError(f"{target}: name a checkpoint, not a folder")
    there = [f"{target}{end}" for end in ("", *_ENDS) if os.path.lexists(f"{target}{end}")]
    if there:
        told = "is what is read" if source and _is_source(target, source) else "exists"
        raise ValueError(f"{there[0]} {told}: name a new checkpoint, nothing is overwritten")
    folder = os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass


def _is_source(target: str, source: str) -> bool:
    return any(is_same_file(f"{target}{end}", f"{source}{end}") for end in ("", *_ENDS))


def write_checkpoint(target: str, values: Mapping[str, Any], meta: bytes) -> None:
    """Writes the files of a checkpoint, which are all there at the end or none.

    Args:
      target: its name, which no file has yet.
      values: arrays by key.
      meta: what the `.meta` file holds.

    Raises:
      OSError: they cannot be written.
    """
    folder = os.path.dirname(os.path.abspath(target))
    with _scratch(folder) as scratch:
        beside = os.path.join(scratch, os.path.basename(target))
        _save(beside, values)
        with open(f"{beside}.meta", "wb") as opened:
            opened.write(meta)
        _move(beside, target)


@contextlib.contextmanager
def _scratch(folder: str) -> Iterator[str]:
    scratch = tempfile.mkdtemp(prefix=".checkpoint.", dir=folder)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _save(prefix: str, values: Mapping[str, Any]) -> None:
    # By the op itself: a Saver takes variables, whose names need not be the keys.
    names = sorted(values)
    with tf.Graph().as_default(), tf.Session() as session:
        arrays = {name: np.asarray(values[name]) for name in names}
        fed = [tf.placeholder(tf.as_dtype(_kind(arrays[name])), name="value") for name in names]
        save = tf.raw_ops.SaveV2(
            prefix=tf.constant(prefix),
            tensor_names=tf.constant(names),
            shape_and_slices=tf.constant([""] * len(names)),
            tensors=fed,
        )
        try:
            session.run(save, dict(zip(fed, (arrays[name] for name in names))))
        except tf.errors.OpError as error:
            # Behind the name of a passing file.
            told = line_of(error).rpartition("; ")[2]
            raise OSError(errno.EIO, f"TensorFlow cannot write it: {told}") from None


def _kind(array: Any) -> Any:
    return tf.string if array.dtype.kind in "OSU" else array.dtype


def _move(source: str, target: str) -> None:
    """Gives each file its name, the index last, without which it is no checkpoint."""
    moved = []
    try:
        for end in _ENDS:
            moved.append(f"{target}{end}")
            os.rename(f"{source}{end}", f"{target}{end}")
    except BaseException:
        for path in moved:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise
