# SPDX-License-Identifier: Apache-2.0
"""Makes a tape in or around a tower fail: it would take what other threads build for constants."""

from __future__ import annotations

from typing import Any, Callable

from ..runtime.tensorflow_v1 import Operation, Tensor, is_variable, register_gradient, tf
from .batch_statistics import BatchStatistics

# Part of every graph that was ever exported, so it stays as it is.
_MERGED = "tf1_bn.tower_tapes.merged"
_NO_TAPE = (
    "a tf.GradientTape in a tower cannot see the other towers of statistics that are merged across "
    "them: take tf.gradients, or an optimizer's compute_gradients"
)
_NO_TAPE_AROUND = (
    "a tf.GradientTape or tf.recompute_grad around `tf1_bn.run_towers` cannot see what the towers "
    "built: take tf.gradients, or an optimizer's compute_gradients"
)


def refused_by_tapes(merged: BatchStatistics, own: BatchStatistics) -> BatchStatistics:
    """`merged`, from which `tf.gradients` goes on as ever and a tape raises LookupError.

    Args:
      merged: the statistics of all towers, made in the thread of any of them.
      own: those of the tower whose thread this is, which a tape there has seen.
    """
    return BatchStatistics(*_refused([*merged], [*own], _NO_TAPE))


def refused_around(result: Any, inputs: Any, since: int) -> Any:
    """The result of one tower, from which a tape around `run_towers` raises LookupError.

    Each tensor in it, in whatever lists, tuples and dicts, is passed on alone, so that it needs no
    more than before. Of the variables behind it one is shown to the tape, which is asked for all
    of them. A list of pairs of a gradient and its variable stays as it is, and so does every other
    object.

    Args:
      result: what the function of a tower returned.
      inputs: what it was given.
      since: how many ops the graph had before the towers.
    """
    graph = tf.get_default_graph()
    tensors: dict[str, Tensor] = {}

    def noted(each: Tensor) -> Tensor:
        if _may_slope(each, graph):
            tensors[each.name] = each
        return each

    _with_tensors(inputs, noted)
    handles = {
        variable.handle.name: variable
        for variable in tf.trainable_variables()
        if hasattr(variable, "handle") and variable.graph is graph
    }
    origins = _origins(graph.get_operations()[since:], tensors, handles)

    def passed_on(each: Tensor) -> Tensor:
        mask = origins.get(each.op.name, 0) if _may_slope(each, graph) else 0
        if not mask:
            return each
        names = [name for bit, name in enumerate([*tensors, *handles]) if mask >> bit & 1]
        asked = [tensors[name] for name in names if name in tensors]
        variables = [handles[name] for name in names if name in handles]
        asked += [variable.read_value() for variable in variables[:1]]
        with tf.name_scope("tower_result"), tf.device(each.device):
            return _refused([each], asked, _NO_TAPE_AROUND)[0]

    return _with_tensors(result, passed_on)


def _with_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with each tensor changed; the same object where none has become another.

    Written out, as `tf.nest` would sort keys that have no order and make objects of others anew.
    """
    if isinstance(value, tf.Tensor):
        return change(value)
    if isinstance(value, tf.IndexedSlices):
        values = change(value.values)
        same = values is value.values
        return value if same else tf.IndexedSlices(values, value.indices, value.dense_shape)
    if isinstance(value, tf.SparseTensor):
        values = change(value.values)
        same = values is value.values
        return value if same else tf.SparseTensor(value.indices, values, value.dense_shape)
    if isinstance(value, tf.RaggedTensor):
        flat = change(value.flat_values)
        return value if flat is value.flat_values else value.with_flat_values(flat)
    if type(value) is dict:
        changed = {key: _with_tensors(item, change) for key, item in value.items()}
        same = all(changed[key] is item for key, item in value.items())
        return value if same else changed
    is_named = isinstance(value, tuple) and hasattr(value, "_fields")
    if type(value) not in (list, tuple) and not is_named:
        return value
    if type(value) is list and value and all(map(_is_gradient, value)):
        return value
    items = [_with_tensors(item, change) for item in value]
    if all(new is old for new, old in zip(items, value)):
        return value
    return value._make(items) if is_named else type(value)(items)


def _is_gradient(value: Any) -> bool:
    """Whether it is a pair as `compute_gradients` gives them."""
    return type(value) is tuple and len(value) == 2 and is_variable(value[1])


def _origins(
    operations: list[Operation], tensors: dict[str, Tensor], handles: dict[str, Any]
) -> dict[str, int]:
    """By the name of an op: what it is made from, a bit for each tensor and then each handle."""
    names = [*tensors, *handles]
    bits = {name: 1 << index for index, name in enumerate(names)}
    made_from: dict[str, int] = {}
    for op in operations:
        mask = 0
        for each in op.inputs:
            reads = each.name in tensors or (each.name in handles and op.type == "ReadVariableOp")
            mask |= made_from.get(each.op.name, 0) | (bits[each.name] if reads else 0)
        if mask:
            made_from[op.name] = mask
    return made_from


def _may_slope(value: Tensor, graph: Any) -> bool:
    differentiable = value.dtype.is_floating or value.dtype.is_complex
    return value.graph is graph and differentiable


def _refused(values: list[Any], seen: list[Any], why: str) -> list[Any]:
    """The values; a tape that has seen `seen` raises LookupError in their gradient."""
    shown = tf.identity_n([*values, *seen])[: len(values)]
    refused = [tf.raw_ops.PreventGradient(input=value, message=why) for value in shown]
    with tf.get_default_graph().gradient_override_map({"IdentityN": _MERGED}):
        return list(tf.identity_n([*values, *refused])[len(values) :])


@register_gradient(_MERGED)
def _gradient_of_merged(op: Operation, *gradients: Tensor) -> list[Tensor | None]:
    half = len(gradients) // 2
    return [*gradients[half:], *[None] * half]
