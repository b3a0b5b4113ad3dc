# SPDX-License-Identifier: Apache-2.0
"""Files that are examined: `.meta`, frozen GraphDef, SavedModel, checkpoint; read, never run."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from typing import Any, Iterator, NamedTuple

import numpy as np
from google.protobuf import message_factory, symbol_database
from google.protobuf.message import DecodeError

from ..files.whole_files import open_regular
from ..runtime.tensorflow_v1 import tf
from .facts.case import Question
from .places import SAVED_MODEL, VALUES

_AVERAGES = re.compile("moving|renorm")
# The file of a folder that lists its checkpoints.
_STATE = "checkpoint"
_OBJECT = "/.ATTRIBUTES/VARIABLE_VALUE"
_MOST_BYTES = 2**31 - 1
# More than any layer has, and few enough for the memory.
_MOST_CHANNELS = 2**20


class Target(NamedTuple):
    """What a file or folder holds.

    Attributes:
      graph: a GraphDef; None for a checkpoint alone.
      question: what the graph's collections and signatures name.
      values: a checkpoint's prefix; None without one.
    """

    graph: Any
    question: Question
    values: str | None


def targets_of(path: str) -> list[Target]:
    """Reads what `path` names.

    Raises:
      OSError: it is not there, or cannot be read.
      ValueError: it is none of these.
    """
    if os.path.isdir(path):
        saved = os.path.join(path, SAVED_MODEL)
        if os.path.isfile(saved):
            prefix = os.path.join(path, "variables", "variables")
            model = _parsed(saved, _saved_model(), "SavedModel")
            return [_of_meta_graph(each, prefix) for each in model.meta_graphs]
        latest = tf.train.latest_checkpoint(path) or _newest(path)
        if not latest:
            raise ValueError(f"{path}: neither a SavedModel nor a folder of checkpoints")
        return targets_of(latest)
    # A checkpoint may have that name as well.
    is_state = os.path.basename(path) == _STATE and not os.path.isfile(f"{path}.index")
    if is_state and os.path.isfile(path):
        return targets_of(os.path.dirname(path) or ".")
    prefix = VALUES.sub("", path)
    meta = path if path.endswith(".meta") else f"{prefix}.meta"
    if os.path.isfile(f"{prefix}.index") or (path.endswith(".meta") and os.path.isfile(path)):
        prefix = prefix[: -len(".meta")] if prefix.endswith(".meta") else prefix
        if not os.path.isfile(meta):
            return [Target(None, Question(), prefix)]
        return [_of_meta_graph(_parsed(meta, tf.MetaGraphDef(), "MetaGraphDef"), prefix)]
    graph = _parsed(path, tf.GraphDef(), "GraphDef")
    return [Target(graph, Question(), None)]


def _newest(folder: str) -> str:
    """The prefix of the newest checkpoint, where the state file names none that is there."""
    found = glob.glob(os.path.join(glob.escape(folder), "*.index"))
    return VALUES.sub("", max(found, key=os.path.getmtime)) if found else ""


def _saved_model() -> Any:
    # TensorFlow registers this message and does not export it.
    descriptor = tf.MetaGraphDef.DESCRIPTOR.file.pool.FindMessageTypeByName("tensorflow.SavedModel")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)()
    return symbol_database.Default().GetPrototype(descriptor)()


def _parsed(path: str, message: Any, kind: str) -> Any:
    with open_regular(path, _MOST_BYTES) as file:
        content = file.read()
    try:
        message.ParseFromString(content)
    except (DecodeError, RecursionError, SystemError):
        # The last one by an old protobuf in an old Python.
        raise ValueError(f"{path}: no {kind}, or not all of it") from None
    if not message.ListFields() or (kind == "GraphDef" and not message.node):
        raise ValueError(f"{path}: no {kind}")
    return message


def _of_meta_graph(meta: Any, prefix: str) -> Target:
    steps = tuple(
        name.partition(":")[0]
        for key in ("train_op",)
        if key in meta.collection_def
        for name in meta.collection_def[key].node_list.value
    )
    outputs = tuple(
        info.name.partition(":")[0]
        for signature in meta.signature_def.values()
        for info in signature.outputs.values()
    )
    collected = frozenset(
        name.partition(":")[0]
        for collection in meta.collection_def.values()
        for name in collection.node_list.value
    )
    values = prefix if os.path.isfile(f"{prefix}.index") else None
    question = Question(steps, outputs=outputs, collected=collected)
    return Target(meta.graph_def, question, values)


def values_of(target: Target) -> dict[str, Any]:
    """The arrays of a checkpoint and of a graph's constants that a layer may have, by name.

    Raises:
      ValueError: the checkpoint cannot be read.
    """
    found = {}
    for node in target.graph.node if target.graph is not None else ():
        if node.op == "Const" and node.attr["value"].tensor.dtype in (1, 2, 14, 19):
            shape = node.attr["value"].tensor.tensor_shape.dim
            if len(shape) == 1 and 0 <= shape[0].size <= _MOST_CHANNELS:
                # A damaged one has other content than its shape says.
                with contextlib.suppress(ValueError, TypeError):
                    found[node.name] = tf.make_ndarray(node.attr["value"].tensor)
    if target.values is not None:
        found.update(_of_checkpoint(target.values))
    return found


def _of_checkpoint(prefix: str) -> Iterator[tuple[str, Any]]:
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        for key, shape in shapes.items():
            if not dtypes[key].is_floating:
                continue
            size = int(np.prod(shape, dtype=np.float64))
            if size <= _MOST_CHANNELS and (len(shape) <= 1 or size == max(shape)):
                name = key[: -len(_OBJECT)] if key.endswith(_OBJECT) else key
                if name.rpartition("/")[2] in ("gamma", "beta", "EMA") or _AVERAGES.search(name):
                    yield name, np.asarray(reader.get_tensor(key))
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{prefix}: the checkpoint cannot be read: {line}") from None
