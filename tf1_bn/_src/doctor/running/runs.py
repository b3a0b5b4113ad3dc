# SPDX-License-Identifier: Apache-2.0
"""What a session run does to layers, by what it fetches."""

from __future__ import annotations

import re
from typing import Any, Collection, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ...discovery.found import FoundCall
from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from ..facts.case import affine_of, statistics_of
from ..facts.case import op_of as op_name
from .layers import Layer, LeftLayer

# The ops of optimizers, such as ResourceSparseApplyAdam, and those that assign.
STEP = re.compile("(Resource)?(Sparse)?Apply[A-Z]")
WRITE = re.compile("Assign(Sub|Add)?(VariableOp)?$")
_WRITES_PART = re.compile("Scatter|StridedSliceAssign")
_CALLS = re.compile("If$|While$|Case$|(Stateful)?PartitionedCall$")
# Keys of feeds that stand for several tensors, none of which is a phase.
_SEVERAL = (tf.SparseTensor, tf.IndexedSlices, tf.RaggedTensor)
# In place of a name: whatever the program says.
ANY = ""
_PASSES_ON = ("Identity", "RefIdentity", "Switch", "RefSwitch", "Enter", "RefEnter")


class Run(NamedTuple):
    """Names of layers.

    Attributes:
      is_step: whether an optimizer makes a step, or the program one of its own by gradients, which
        it may also gather first.
      trains: those in training, or switched, whose gamma or beta it trains.
      reaches: those whose statistics it writes, if their phase is training.
      evaluates: in a run without a step, those that may normalize by their moving statistics.
      by_itself: whether it is there to run the updates, which are fetched themselves.
    """

    is_step: bool
    trains: frozenset[str]
    reaches: frozenset[str]
    evaluates: frozenset[str]
    by_itself: bool


def unknown_step(layers: Sequence[Layer]) -> Run:
    """A run of training of which nothing is known: it trains and reaches all that has updates."""
    names = frozenset(each.name for each in layers if any(c.updates for c in each.found.calls))
    return Run(True, names, names, frozenset(), False)


def run_of(fetched: Sequence[Operation], layers: Sequence[Layer]) -> Run:
    """What running the ops does."""
    ops = {op.name: op for op in needed_ops(fetched)}
    writes = [op for op in ops.values() if WRITE.match(op.type) and not is_initializer(op)]
    moved = {written(op) for op in writes}
    steps = {written(op) for op in ops.values() if STEP.match(op.type)}
    if not steps:
        averages = {name for layer in layers for name in statistics_of(layer.found)}
        others = (op for op in writes if written(op) not in averages)
        steps = {written(op) for op in others if _is_of_gradients(op.inputs[1])}
    trains, reaches, evaluates = set(), set(), set()
    for layer in layers:
        affine = affine_of(layer.found)
        phases = {c.phase for c in layer.found.calls if op_name(c.output) in ops}
        if phases - {"inference"} and (steps.intersection(affine) or (steps and not affine)):
            trains.add(layer.name)
        if moved.intersection(statistics_of(layer.found)):
            reaches.add(layer.name)
        if phases - {"training"} and not steps:
            evaluates.add(layer.name)
    found = (frozenset(trains), frozenset(reaches), frozenset(evaluates))
    return Run(bool(steps), *found, _by_itself(fetched, layers))


def _is_of_gradients(value: Any) -> bool:
    """Whether a value is computed from what `tf.gradients` made, in a scope of that name."""
    return any(re.search("(^|/)gradients", op.name) for op in _data(value))


def moved_and_trained(
    ops: Iterable[Operation], layers: Sequence[LeftLayer]
) -> tuple[set[str], set[str]]:
    """Names of variables: those that ops may move or load, and those that they train."""
    means = {layer.mean for layer in layers}
    learned = {name for layer in layers for name in layer.learned}
    outputs = {output for layer in layers for output, _ in layer.calls}
    moved: set[str] = set()
    trained: set[str] = set()
    for op in ops:
        names = _may_write(op)
        if WRITE.match(op.type) and is_initializer(op):
            # Other averages begin as numbers that somebody knows.
            names = {name for name in names & means if not _gives_zeros(op)}
        elif STEP.match(op.type):
            trained |= names
        elif WRITE.match(op.type) and names & learned and _is_computed_from(op.inputs[1], outputs):
            # A step that a program makes itself; a copy that follows others needs no output.
            trained |= names
        moved |= names
    return moved, trained


def _is_computed_from(value: Any, ops: Collection[Operation]) -> bool:
    """Whether one of the ops gives a part of what a tensor is computed from."""
    return any(op in ops for op in _data(value))


def _data(value: Any) -> Iterator[Operation]:
    """The ops of what a tensor is computed from, without those it only waits for."""
    return needed_ops([value], follows=lambda source: isinstance(source, tf.Tensor))


def _by_itself(fetched: Sequence[Operation], layers: Sequence[Layer]) -> bool:
    """Whether updates, or a group of them, are fetched."""
    names = {u.op for each in layers for call in each.found.calls for u in call.updates}
    if fetched:
        collected = fetched[0].graph.get_collection(tf.GraphKeys.UPDATE_OPS)
        names |= {op_of(each).name for each in collected if hasattr(each, "graph")}
    waiting, seen = list(fetched), set(fetched)
    while waiting:
        op = waiting.pop()
        if op.name in names:
            return True
        new = [each for each in op.control_inputs if op.type == "NoOp" and each not in seen]
        seen.update(new)
        waiting += new
    return False


def ops_in(graph: Any, fetches: Any) -> Iterator[Operation]:
    """The ops of what a session run is given to fetch, in whatever nesting."""
    if isinstance(fetches, dict):
        fetches = list(fetches.values())
    if isinstance(fetches, (list, tuple)):
        for each in fetches:
            yield from ops_in(graph, each)
    elif isinstance(fetches, str):
        yield op_of(graph.as_graph_element(fetches))
    elif hasattr(fetches, "op") or hasattr(fetches, "node_def"):
        yield op_of(fetches)
    elif hasattr(type(fetches), "__attrs_attrs__"):
        names = (each.name for each in type(fetches).__attrs_attrs__)
        yield from ops_in(graph, [getattr(fetches, name) for name in names])


def in_inference(graph: Any, layers: Sequence[Layer], feed_dict: Any) -> frozenset[str]:
    """The names of layers that a run holds in inference, by the phase that it is fed.

    Args:
      graph: of the run.
      layers: those that are asked about.
      feed_dict: None where it is not known; then a phase that can be fed may be inference.
    """
    known = None if feed_dict is None else fed_values(graph, feed_dict)
    return frozenset(
        layer.name
        for layer in layers
        if all(_is_inference(graph, call, known) for call in layer.found.calls)
    )


def fed_values(graph: Any, feed_dict: Any) -> dict[str, Any]:
    """The values of a run's feeds, by the names of their tensors; `ANY` is one of unknown ones."""
    fed: dict[str, Any] = {}
    for key, value in (feed_dict or {}).items():
        if isinstance(key, tuple):
            fed.update(fed_values(graph, dict(zip(key, value))))
        elif not isinstance(key, _SEVERAL):
            try:
                fed[graph.as_graph_element(key, allow_operation=False).name] = value
            except (TypeError, ValueError, KeyError):
                # A type that the program has registered, say.
                fed[ANY] = value
    return fed


def _is_inference(graph: Any, call: FoundCall, fed: Mapping[str, Any] | None) -> bool:
    if call.phase != "switched" or call.switch is None:
        return call.phase == "inference"
    try:
        phase = graph.get_tensor_by_name(call.switch)
    except (KeyError, ValueError):
        # In the body of a function.
        return False
    if fed is not None:
        return is_false(phase, fed)
    op = phase.op
    while op.type in (*_PASSES_ON, "Cast"):
        op = op.inputs[0].op
    return bool(op.type.startswith("Placeholder"))


def is_false(phase: Any, fed: Mapping[str, Any]) -> bool:
    """Whether a phase, a bool or a tensor, is False for certain in a run with these feeds."""
    if isinstance(phase, bool):
        return not phase
    tensor, turned = phase, False
    while tensor.op.type in (*_PASSES_ON, "Cast", "LogicalNot") and tensor.name not in fed:
        turned ^= tensor.op.type == "LogicalNot"
        tensor = tensor.op.inputs[0]
    if tensor.name not in fed and tensor.op.type == "PlaceholderWithDefault":
        tensor = tensor.op.inputs[0]
    if tensor.name in fed:
        value = np.asarray(fed[tensor.name])
    elif tensor.op.type == "Const" and ANY not in fed:
        value = _constant(tensor.op)
    else:
        return False
    # Not the handle of a tensor that a session keeps.
    return value.dtype.kind in "biuf" and bool(np.any(value)) == turned


def _constant(op: Operation) -> Any:
    # Not by tf.get_static_value, behind which nobody may feed the tensor.
    return tf.make_ndarray(op.get_attr("value"))


def _may_write(op: Operation) -> set[str]:
    """The names of variables that an op gives another value, or a function that it calls may."""
    if STEP.match(op.type) or WRITE.match(op.type) or _WRITES_PART.search(op.type):
        return {written(op)}
    if not _CALLS.match(op.type):
        return set()
    return {source.op.name for source in op.inputs if source.op.type == "VarHandleOp"}


def _gives_zeros(op: Operation) -> bool:
    """Whether a write gives its variable zeros, as averages begin, unless its input is fed."""
    source = op.inputs[1].op
    while source.type in _PASSES_ON:
        source = source.inputs[0].op
    source = source.inputs[1].op if source.type == "Fill" else source
    return source.type == "Const" and not _constant(source).any()


def written(op: Operation) -> str:
    """The name of the variable that a write writes."""
    op = op.inputs[0].op
    while op.type in _PASSES_ON:
        op = op.inputs[0].op
    return str(op.name)


def is_initializer(op: Operation) -> bool:
    """Whether a write is the one that a variable was made with."""
    return bool(op.name == f"{written(op)}/Assign")
