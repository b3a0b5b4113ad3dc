# SPDX-License-Identifier: Apache-2.0
"""A graph with a checkpoint as a running session, whoever saved it, and what of it is missing."""

from __future__ import annotations

import contextlib
from typing import Any, Container, Iterable, Iterator, Mapping, NamedTuple

import numpy as np

from ..discovery.found import Found
from ..discovery.layers import find_in, read
from ..discovery.reading.nodes import View
from ..discovery.reading.tracing import VARIABLES, back
from ..doctor.facts.reach import needed
from ..doctor.targets import targets_of
from ..repair import repair_graph_def
from ..runtime.tensorflow_v1 import tf
from .averages.held import held_in, line_of, write

# IndexError is how TensorFlow says that a file ends too early.
_UNREADABLE = (tf.errors.OpError, RuntimeError, ValueError, IndexError)
_RESTORES = ("RestoreV2", "Restore", "RestoreSlice")


class Model(NamedTuple):
    """A graph in a session of its own.

    Attributes:
      session: with all variables restored that the checkpoint has.
      view, found: its graph as it reads.
      prefix: the checkpoint; None for a graph that holds its values.
      keys: the checkpoint's key of each variable.
      missing: variables that it lacks.
      repaired: how many nodes had to be changed before this TensorFlow took the graph.
    """

    session: Any
    view: View
    found: Found
    prefix: str | None
    keys: dict[str, str]
    missing: tuple[str, ...]
    repaired: int


@contextlib.contextmanager
def opened(path: str) -> Iterator[Model]:
    """The model that `path` names: a checkpoint with its `.meta` file, or a frozen graph.

    Raises:
      OSError: it is not there, or cannot be read.
      ValueError: it is damaged, none of these, or a graph that this TensorFlow does not know.
    """
    (target, *others) = targets_of(path)
    if target.graph is None:
        raise ValueError(f"{path}: there is no graph beside this checkpoint, in a .meta file")
    if others:
        raise ValueError(f"{path}: a SavedModel of several graphs; export one of them alone")
    with running(target.graph, target.values) as model:
        yield model


@contextlib.contextmanager
def running(graph_def: Any, prefix: str | None) -> Iterator[Model]:
    """A GraphDef in a session, restored from a checkpoint; as `opened`."""
    with tf.Graph().as_default() as graph:
        repaired = load(graph_def)
        view, unread = read(graph)
        names = [op.name for op in graph.get_operations() if op.type in VARIABLES]
        _add_assignments(graph, names)
        reader = reader_of(prefix) if names and prefix is not None else None
        there = reader.get_variable_to_shape_map() if reader is not None else {}
        keys = _keys(view, names, there)
        with tf.Session(graph=graph) as session:
            missing = _restore(session, prefix, reader, keys, there)
            yield Model(session, view, find_in(view, unread), prefix, keys, missing, repaired)


def load(graph_def: Any) -> int:
    """Adds a GraphDef to the current graph, repaired; returns how many nodes that took.

    Raises:
      ValueError: this TensorFlow does not know such a graph.
    """
    mended = repair_graph_def(graph_def)
    repaired: int = sum(one != other for one, other in zip(mended.node, graph_def.node))
    for node in mended.node:
        # Not the old program's machines.
        node.device = ""
    try:
        tf.import_graph_def(mended, name="")
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        told = line_of(error)
        raise ValueError(f"this TensorFlow does not load the graph: {told}") from None
    return repaired


def _add_assignments(graph: Any, names: Iterable[str]) -> None:
    """Adds what sets and reads each variable: a graph that was cut may have lost it."""
    for name in names:
        variable = graph.get_operation_by_name(name)
        dtype = tf.as_dtype(variable.get_attr("dtype"))
        value = tf.placeholder(dtype, tf.TensorShape(variable.get_attr("shape")))
        with tf.control_dependencies(None):
            if variable.type == "VarHandleOp":
                tf.raw_ops.AssignVariableOp(resource=variable.outputs[0], value=value)
                tf.raw_ops.ReadVariableOp(resource=variable.outputs[0], dtype=dtype)
            else:
                tf.raw_ops.Assign(ref=variable.outputs[0], value=value)


def _keys(view: View, names: Iterable[str], there: Container[str]) -> dict[str, str]:
    """The key of each variable: of those that a checkpoint has, its own name before others.

    A graph may have Savers for other checkpoints: of averaged weights, or of what it began with.
    """
    restored = _restored_keys(view, names)
    return {
        name: next(
            (key for key in (name, *restored.get(name, ())[::-1]) if key in there),
            restored.get(name, [name])[-1],
        )
        for name in names
    }


def _restored_keys(view: View, names: Iterable[str]) -> dict[str, list[str]]:
    """The keys that the graph's own Savers restore variables from, in their order."""
    keys: dict[str, list[str]] = {}
    known = set(names)
    for node in view.nodes.values():
        if not node.op.startswith("Assign") or len(node.inputs) < 2:
            continue
        place = back(view, node.inputs[1])
        restoring = view.node(place)
        if restoring.op in _RESTORES and len(restoring.inputs) > 1:
            listed = view.node(back(view, restoring.inputs[1]))
            tensor = listed.attributes["value"].tensor if listed.op == "Const" else None
            words = list(tensor.string_val) if tensor is not None else []
            name = back(view, node.inputs[0])[0]
            if place[1] < len(words) and name in known:
                keys.setdefault(name, []).append(words[place[1]].decode("utf-8", "replace"))
    return keys


def _restore(
    session: Any,
    prefix: str | None,
    reader: Any,
    keys: Mapping[str, str],
    there: Container[str],
) -> tuple[str, ...]:
    """Sets the variables that the checkpoint has; returns the names of the others."""
    known = {name: key for name, key in keys.items() if key in there}
    held = held_in(session.graph, known)
    for name, key in known.items():
        # One by one: the memory of one is enough.
        write(session, held, {name: values_at(reader, key, prefix or "")})
    return tuple(name for name in keys if name not in known)


def reader_of(prefix: str) -> Any:
    """Raises ValueError if the checkpoint cannot be read."""
    try:
        return tf.train.load_checkpoint(prefix)
    except _UNREADABLE as error:
        raise ValueError(f"{prefix}: the checkpoint cannot be read: {line_of(error)}") from None


def values_at(reader: Any, key: str, prefix: str) -> Any:
    try:
        return reader.get_tensor(key)
    except _UNREADABLE as error:
        raise ValueError(f"{prefix}: {key} cannot be read: {line_of(error)}") from None


def begin_averages(model: Model) -> tuple[str, ...]:
    """Sets the averages that the checkpoint lacks to 0 and 1; returns their names.

    Raises:
      ValueError: it lacks other variables that the layers' inputs are computed from.
    """
    averages: dict[str, float] = {}
    for layer in model.found.layers:
        variables = layer.variables
        for name in (variables.moving_mean, *variables.renorm):
            averages[name or ""] = 0.0
        averages[variables.moving_variance or ""] = 1.0
    missing = [name for name in model.missing if name in averages]
    inputs = [call.input.rpartition(":")[0] for each in model.found.layers for call in each.calls]
    computed = needed(model.view, inputs, controls=False)
    lost = [name for name in model.missing if name in computed and name not in averages]
    if lost:
        raise ValueError(
            f"{model.prefix}: the checkpoint lacks {', '.join(lost[:4])}"
            f"{f' and {len(lost) - 4} more' if len(lost) > 4 else ''}, and these were trained"
        )
    held = held_in(model.session.graph, missing)
    shapes = {name: [int(n) for n in held[name].read.shape.as_list()] for name in missing}
    write(model.session, held, {n: np.full(shapes[n], averages[n]) for n in missing})
    return tuple(missing)
