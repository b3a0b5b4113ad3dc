# SPDX-License-Identifier: Apache-2.0
"""Old graphs on new runtimes, and new graphs on old ones: two attributes of fused batch norm.

TensorFlow up to 2.1 wrote `_output_shapes` of FusedBatchNormGrad nodes that later releases take
for inconsistent where the node differentiates inference, as the other branch of a fed training
flag does; they refuse the graph (tensorflow/tensorflow#42980, #57454). From 2.2 on fused nodes
carry `exponential_avg_factor`, which older runtimes do not know (tensorflow/tensorflow#41391).
Both can be taken out without a change of any number.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any, Iterator, NamedTuple

from google.protobuf import message_factory, symbol_database, text_format
from google.protobuf.message import DecodeError

from .files.whole_files import check_tree, copy_tree, folder_beside, open_regular, written_beside
from .runtime.tensorflow_v1 import tf

_SHAPES = "_output_shapes"
_FACTOR = "exponential_avg_factor"
_GRADIENTS = ("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3")
_FUSED = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
# Protobuf itself takes no larger message.
_MOST_BYTES = 2**31 - 1


class Repair(NamedTuple):
    """The names of the nodes that an attribute was taken from, those of functions included.

    Attributes:
      stale_shapes: they lost `_output_shapes`.
      average_factors: they lost `exponential_avg_factor`.
    """

    stale_shapes: list[str]
    average_factors: list[str]

    def __str__(self) -> str:
        return (
            f"{len(self.stale_shapes)} stale {_SHAPES} and "
            f"{len(self.average_factors)} {_FACTOR} dropped"
        )


# Pickles name what users know.
Repair.__module__ = "tf1_bn.repair"


def repair_graph_def(graph_def: Any, old_runtime: bool = False) -> Any:
    """Returns a copy of a GraphDef that loads; the given one stays as it is.

    Args:
      graph_def: a `tf.GraphDef`.
      old_runtime: also drop `exponential_avg_factor` from fused nodes, which TensorFlow up to 2.1
        cannot read; the factor must be 1, its default.

    Raises:
      TypeError: no GraphDef.
      ValueError: `old_runtime` and a factor that is not 1: without it the moving averages would
        be others.
    """
    return _repaired_copy("graph_def", graph_def, tf.GraphDef, old_runtime)


def repair_meta_graph_def(meta_graph_def: Any, old_runtime: bool = False) -> Any:
    """As `repair_graph_def`, for a `tf.MetaGraphDef`."""
    return _repaired_copy("meta_graph_def", meta_graph_def, tf.MetaGraphDef, old_runtime)


def repair_meta_graph(source: str, target: str, old_runtime: bool = False) -> Repair:
    """Writes a repaired copy of the `.meta` file `source`, binary or text as it was.

    `target` is written under a temporary name and renamed, so it is whole or not there. The
    checkpoint itself needs no repair: copy it, or restore it from where it is.

    Raises:
      OSError: `source` cannot be read or `target` not be written.
      ValueError: `source` holds no MetaGraph, or `target` is `source`; as `repair_graph_def`.
    """
    return _repair_file(source, target, tf.MetaGraphDef, old_runtime)


def repair_graph(source: str, target: str, old_runtime: bool = False) -> Repair:
    """As `repair_meta_graph`, for a file of a plain GraphDef (`.pb` or `.pbtxt`)."""
    return _repair_file(source, target, tf.GraphDef, old_runtime)


def repair_saved_model(source: str, target: str, old_runtime: bool = False) -> Repair:
    """Copies the SavedModel folder `source` to the new folder `target`, its graphs repaired.

    Raises:
      OSError: `source` cannot be read or `target` not be written.
      ValueError: `source` holds no SavedModel, `target` exists or lies in `source`; as
        `repair_graph_def`.
    """
    source, target = os.fspath(source), os.fspath(target)
    names = [name for name in _SAVED_MODEL_FILES if os.path.isfile(os.path.join(source, name))]
    if not names:
        raise ValueError(f"{source} is no SavedModel: it has no {' or '.join(_SAVED_MODEL_FILES)}.")
    _check_apart(source, target)
    if os.path.lexists(target):
        raise ValueError(f"{target} exists: name a new folder.")
    check_tree(source)
    kind = _message_class("tensorflow.SavedModel")
    with folder_beside(target) as beside:
        copy_tree(source, beside)
        repairs = [
            _rewrite(os.path.join(source, name), os.path.join(beside, name), kind, old_runtime)
            for name in names
        ]
    return repairs[0]


def repair_any(source: str, target: str, old_runtime: bool = False) -> Repair:
    """Repairs what `source` is by its name: a SavedModel's folder, a GraphDef or a `.meta` file.

    Raises:
      OSError: `source` cannot be read or `target` not be written.
      ValueError: as the function for that kind of file.
    """
    if os.path.isdir(source):
        return repair_saved_model(source, target, old_runtime)
    if os.path.basename(source) in _SAVED_MODEL_FILES:
        raise ValueError(f"{source} belongs to a SavedModel: give its folder.")
    repair = repair_graph if source.endswith((".pb", ".pbtxt")) else repair_meta_graph
    return repair(source, target, old_runtime)


def _repaired_copy(name: str, message: Any, kind: Any, old_runtime: bool) -> Any:
    if not isinstance(message, kind):
        raise TypeError(f"`{name}` must be a tf.{kind.__name__} (got {type(message).__name__}).")
    copied = kind()
    copied.CopyFrom(message)
    _repair(copied, old_runtime)
    return copied


def _repair(message: Any, old_runtime: bool) -> Repair:
    """Repairs the graphs of a message in place, the bodies of functions too."""
    repair = Repair([], [])
    for node in _nodes(message):
        if node.op in _GRADIENTS and _SHAPES in node.attr:
            del node.attr[_SHAPES]
            repair.stale_shapes.append(node.name)
        if old_runtime and node.op in _FUSED and _FACTOR in node.attr:
            factor = node.attr[_FACTOR].f
            if factor != 1.0:
                raise ValueError(
                    f"node {node.name!r} has {_FACTOR} {factor}, which an old runtime cannot do."
                )
            del node.attr[_FACTOR]
            repair.average_factors.append(node.name)
    return repair


def _graphs(message: Any) -> list[Any]:
    """The GraphDefs in a GraphDef, MetaGraphDef or SavedModel."""
    if isinstance(message, tf.GraphDef):
        return [message]
    return [inner.graph_def for inner in getattr(message, "meta_graphs", [message])]


def _nodes(message: Any) -> Iterator[Any]:
    for graph_def in _graphs(message):
        yield from graph_def.node
        for function in graph_def.library.function:
            yield from function.node_def


def _repair_file(source: str, target: str, kind: Any, old_runtime: bool) -> Repair:
    source, target = os.fspath(source), os.fspath(target)
    _check_apart(source, target)
    return _rewrite(source, target, kind, old_runtime)


def _rewrite(source: str, target: str, kind: Any, old_runtime: bool) -> Repair:
    message, is_text = _read(source, kind)
    repair = _repair(message, old_runtime)
    if not any(graph_def.node for graph_def in _graphs(message)):
        raise ValueError(f"{source} holds no {kind.DESCRIPTOR.name} with a graph in it.")
    with written_beside(target) as opened:
        if is_text:
            opened.write(text_format.MessageToString(message).encode("utf-8"))
        else:
            opened.write(message.SerializeToString())
    return repair


def _read(path: str, kind: Any) -> tuple[Any, bool]:
    """The message in a file, and whether it stands there as text."""
    with open_regular(path, _MOST_BYTES) as opened:
        content = opened.read()
    message = kind()
    with contextlib.suppress(DecodeError, SystemError), warnings.catch_warnings():
        # Protobuf of TF 1.15's time only warns of an end too early, from C, hence SystemError.
        warnings.simplefilter("error")
        message.ParseFromString(content)
        return message, False
    try:
        return text_format.Parse(content.decode("utf-8"), kind()), True
    except (UnicodeDecodeError, text_format.ParseError, RecursionError):
        raise ValueError(f"{path} is damaged or no {kind.DESCRIPTOR.name}.") from None


def _message_class(name: str) -> Any:
    """The class of a message that TensorFlow registers and does not export."""
    descriptor = tf.MetaGraphDef.DESCRIPTOR.file.pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    # Not of a factory of its own: that would make TensorFlow's classes anew, unlike the old ones.
    return symbol_database.Default().GetPrototype(descriptor)


def _check_apart(source: str, target: str) -> None:
    """Raises ValueError if writing `target` would touch `source`."""
    inner, outer = os.path.realpath(target), os.path.realpath(source)
    linked = os.path.exists(target) and os.path.samefile(source, target)
    if linked or inner == outer or inner.startswith(outer + os.sep):
        raise ValueError(f"{target} is, or lies in, {source}: the input is never overwritten.")
