# SPDX-License-Identifier: Apache-2.0
"""What a session run executes, as far as layers are concerned."""

from __future__ import annotations

import re
from typing import Any, Iterable, Iterator, NamedTuple

from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, Tensor, tf

# A moving mean is updated by subtraction; initializers and a Saver assign.
_UPDATES = ("AssignSub", "AssignSubVariableOp")
_ASSIGNS = ("Assign", "AssignVariableOp")
_CHANGES = (*_UPDATES, *_ASSIGNS, "AssignAdd", "AssignAddVariableOp")
_READS = ("ReadVariableOp", "Identity")
_PASSES_ON = ("Identity", "RefIdentity", "Switch", "RefSwitch", "Enter", "RefEnter")
# The ops of optimizers, such as ResourceSparseApplyAdam.
_STEP = re.compile("(Resource)?(Sparse)?Apply[A-Z]")
# What a flag may pass on its way to a layer.
_CASTS = ("Cast", "Identity")
_RESTORE = "Restore"
_FROM_OUTSIDE = re.compile(f"{_RESTORE}|Placeholder")
# Of a constant in an initializer; no layer has more channels.
_MOST_NUMBERS = 2**16


class Executed(NamedTuple):
    """Names of a graph's ops and variables.

    Attributes:
      ops: all that a run executes.
      is_step: whether an optimizer makes a step.
      trained_through: those that a step depends on, an optimizer's or one of the program's own.
      moved: the variables that something is subtracted from.
      loaded: the variables that get a value from a checkpoint, the program or another variable.
      restored: those of them that get it from a checkpoint.
      saved: the variables that go into a checkpoint.
    """

    ops: set[str]
    is_step: bool
    trained_through: set[str]
    moved: set[str]
    loaded: set[str]
    restored: set[str]
    saved: set[str]

    @classmethod
    def of(cls, fetched: Iterable[Operation], feeds: Any) -> Executed:
        """What running `fetched` executes, with the tensors of `feeds` given from outside."""
        ops = list(needed_ops(fetched))
        trainable = _trainable(ops[0].graph) if ops else set()
        steps = [op for op in ops if _STEP.match(op.type)]
        by_hand = [op for op in ops if _changed(op) in trainable]
        loads = [op for op in ops if _loads(op, feeds)]
        restores = [op for op in loads if _source(op).op.type.startswith(_RESTORE)]
        return cls(
            {op.name for op in ops},
            bool(steps),
            {op.name for op in needed_ops([*steps, *by_hand])},
            moved_by(ops),
            {_variable(op.inputs[0].op) for op in loads},
            {_variable(op.inputs[0].op) for op in restores},
            {name for op in ops if op.type.startswith("Save") for name in _saved_by(op)},
        )


def moved_by(ops: Iterable[Operation]) -> set[str]:
    """Names of the variables that `ops` and what they need subtract something from."""
    return {_variable(op.inputs[0].op) for op in needed_ops(ops) if op.type in _UPDATES}


def flag_of(training: Any) -> str:
    """Name of the placeholder that a run may make True, "" if `training` is none.

    It may hold a number. One that is True by itself is none: such a program trains unless it says
    otherwise.
    """
    while isinstance(training, tf.Tensor) and training.op.type in _CASTS:
        training = training.op.inputs[0]
    kind = training.op.type if isinstance(training, tf.Tensor) else ""
    if kind == "PlaceholderWithDefault":
        by_itself = tf.get_static_value(training.op.inputs[0])
        return "" if by_itself is None or by_itself else str(training.name)
    return str(training.name) if kind.startswith("Placeholder") else ""


def flag_in(feeds: Any, flag: str, graph: Any) -> bool:
    """Whether a run with these feeds makes the flag True, or what is cast from it."""
    tensors = _same(graph.get_tensor_by_name(flag))
    return any(bool(feeds.get(_key_of(tensor), False)) for tensor in tensors)


def _same(tensor: Tensor) -> Iterator[Tensor]:
    yield tensor
    for op in tensor.consumers():
        if op.type in _CASTS:
            yield from _same(op.outputs[0])


def _changed(op: Operation) -> str:
    """The variable that an op changes which is not the variable's own initializer; or ""."""
    name = _variable(op.inputs[0].op) if op.type in _CHANGES else ""
    return "" if op.name == f"{name}/Assign" else name


def _trainable(graph: Any) -> set[str]:
    variables = graph.get_collection_ref(tf.GraphKeys.TRAINABLE_VARIABLES)
    return {str(getattr(each, "name", "")).split(":")[0] for each in variables} - {""}


def is_given(op: Operation) -> bool:
    """Whether a write gives its variable a value that somebody knows, as an initializer may."""
    if op.type not in _ASSIGNS:
        return False
    value = _source(op)
    return _FROM_OUTSIDE.match(value.op.type) is not None or _has_numbers(value)


def _loads(op: Operation, feeds: Any) -> bool:
    if op.type not in _ASSIGNS:
        return False
    return bool(_changed(op)) or _key_of(op.inputs[1]) in feeds or is_given(op)


def _source(op: Operation) -> Tensor:
    """The tensor that an assignment takes its value from."""
    value = op.inputs[1]
    while value.op.type in _PASSES_ON:
        value = value.op.inputs[0]
    return value


def _has_numbers(value: Tensor) -> bool:
    """Whether it is a constant that is not all 0, such as an average that somebody knows."""
    op = value.op.inputs[1].op if value.op.type == "Fill" else value.op
    if op.type != "Const" or (op.outputs[0].shape.num_elements() or 0) > _MOST_NUMBERS:
        return False
    # Not by tf.get_static_value, behind which nobody may feed the tensor.
    return bool((tf.make_ndarray(op.get_attr("value")) != 0).any())


def _key_of(tensor: Tensor) -> Any:
    # TensorFlow 1 hashes tensors themselves.
    return tensor.ref() if hasattr(tensor, "ref") else tensor


def _saved_by(op: Operation) -> Iterator[str]:
    for value in op.inputs:
        read = value.op
        while read.type in _READS:
            read = read.inputs[0].op
        yield str(read.name)


def _variable(op: Operation) -> str:
    while op.type in _PASSES_ON:
        op = op.inputs[0].op
    return str(op.name)
