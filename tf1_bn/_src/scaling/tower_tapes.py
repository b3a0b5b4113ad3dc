# SPDX-License-Identifier: Apache-2.0
"""Has a tape in a tower refused: it would take what other towers' threads build for constants."""

from __future__ import annotations

from typing import Any

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

    Each tensor in it is passed on alone, so that it needs no more than before. Of the variables
    behind it one is shown to the tape, which is asked for all of them; a result with variables
    holds gradients for an optimizer and stays as it is.

    Args:
      result: what the function of a tower returned.
      inputs: what it was given.
      since: how many ops the graph had before the towers.
    """
    graph, leaves = tf.get_default_graph(), tf.nest.flatten(result)
    if any(is_variable(leaf) for leaf in leaves):
        return result
    tensors = {each.name: each for each in tf.nest.flatten(inputs) if _may_slope(each, graph)}
    handles = {
        variable.handle.name: variable
        for variable in tf.trainable_variables()
        if hasattr(variable, "handle") and variable.graph is graph
    }
    origins = _origins(graph.get_operations()[since:], tensors, handles)

    def passed_on(each: Any) -> Any:
        mask = origins.get(each.op.name, 0) if _may_slope(each, graph) else 0
        if not mask:
            return each
        names = [name for bit, name in enumerate([*tensors, *handles]) if mask >> bit & 1]
        asked = [tensors[name] for name in names if name in tensors]
        variables = [handles[name] for name in names if name in handles]
        asked += [variable.read_value() for variable in variables[:1]]
        with tf.name_scope("tower_result"), tf.device(each.device):
            return _refused([each], asked, _NO_TAPE_AROUND)[0]

    passed = [passed_on(leaf) for leaf in leaves]
    if all(new is old for new, old in zip(passed, leaves)):
        return result
    return tf.nest.pack_sequence_as(result, passed)


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


def _may_slope(value: Any, graph: Any) -> bool:
    return isinstance(value, tf.Tensor) and value.graph is graph and value.dtype.is_floating


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
