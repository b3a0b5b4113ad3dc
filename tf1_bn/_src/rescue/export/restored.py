# SPDX-License-Identifier: Apache-2.0
"""A checkpoint and its graph as a session that can be exported from."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Iterator

from google.protobuf.message import DecodeError

from ...repair import repair_meta_graph_def
from ...runtime.tensorflow_v1 import tf
from .live import first_line

_VALUES = re.compile(r"\.(meta|index|data-\d{5}-of-\d{5})$")
_MOST_BYTES = 2**31 - 1


def prefix_of(path: str) -> str:
    """The name of a checkpoint: of a folder the latest one's.

    Raises:
      OSError: there is nothing of that name.
      ValueError: it is no checkpoint, or it lacks its values or its graph.
    """
    prefix = _VALUES.sub("", path)
    if os.path.isdir(path):
        prefix = tf.train.latest_checkpoint(path) or ""
        if not prefix:
            raise ValueError(f"{path}: the folder names no checkpoint.")
    meta, index = f"{prefix}.meta", f"{prefix}.index"
    if not os.path.isfile(meta) and not os.path.isfile(index):
        os.stat(path)
        raise ValueError(f"{path}: no checkpoint; there is no {meta}.")
    for file, what in ((meta, "its graph"), (index, "its values")):
        if not os.path.isfile(file):
            raise ValueError(f"{prefix}: the checkpoint lacks {what}, {file}.")
    return prefix


@contextlib.contextmanager
def restored(path: str) -> Iterator[Any]:
    """A session of the graph and the values of a checkpoint; old graphs are repaired.

    Raises:
      OSError, ValueError: it cannot be read, or TensorFlow does not take it.
    """
    prefix = prefix_of(path)
    meta_graph = repair_meta_graph_def(_meta_graph(f"{prefix}.meta"))
    config = tf.ConfigProto(device_count={"GPU": 0}, allow_soft_placement=True)
    with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=config) as session:
        try:
            saver = tf.train.import_meta_graph(meta_graph, clear_devices=True)
        except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            raise ValueError(f"{prefix}.meta: {first_line(error)}") from None
        if saver is None:
            raise ValueError(f"{prefix}.meta: the graph has no variables.")
        try:
            saver.restore(session, prefix)
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(f"{prefix} cannot be restored: {first_line(error)}") from None
        yield session


def _meta_graph(path: str) -> Any:
    if os.stat(path).st_size > _MOST_BYTES:
        raise ValueError(f"{path} is too large for a MetaGraphDef.")
    message = tf.MetaGraphDef()
    with open(path, "rb") as opened:
        content = opened.read()
    try:
        message.ParseFromString(content)
    except (DecodeError, RuntimeWarning):
        raise ValueError(f"{path} is damaged, or no MetaGraphDef.") from None
    if not message.graph_def.node:
        raise ValueError(f"{path} holds no graph.")
    return message
