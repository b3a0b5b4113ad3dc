# SPDX-License-Identifier: Apache-2.0
"""Batch statistics that are merged across the replicas of a `tf.distribute` strategy."""

from __future__ import annotations

from typing import Any, Sequence

from ..runtime.graph_place import enclosing_v1_op, in_function, record_sum, summed_by
from ..runtime.open_scopes import in_replica
from ..runtime.tensorflow_v1 import Operation, Tensor, as_written, register_gradient, tf
from .batch_statistics import BatchStatistics, at_least_one, layer_of

# Part of every graph that was ever exported, so it stays as it is.
_SUM_GRADIENT = "tf1_bn.replica_merge.sum_across_replicas"
_NO_TAPE = (
    "a tf.GradientTape in a graph cannot see the other replicas of statistics that are merged "
    "across them: take tf.gradients, or an optimizer's compute_gradients, inside of the function "
    "given to `strategy.run`, or call that in a tf.function"
)


def check_place(layer_name: str) -> None:
    """Checks that the layer is not in a conditional or loop of control flow v1 of its replica.

    The context is the graph's, so the others would be built in it; v2 is refused by `merge_call`.

    Raises:
      ValueError: it is, and there are other replicas.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return
    opener = enclosing_v1_op()
    # Such a one around `strategy.run` holds all replicas, and is fine.
    if opener is not None and _is_in_replica(opener):
        raise ValueError(
            "A layer whose statistics are merged across replicas must stand outside of any tf.cond "
            "and tf.while_loop in the function given to `strategy.run`: the other replicas would "
            f"be built in there (got the layer {layer_of(layer_name)!r})."
        )


def _is_in_replica(op: Operation) -> bool:
    """Whether `op` stands on a device spelled in full, as strategies give it to a replica."""
    device = tf.DeviceSpec.from_string(op.device)
    return None not in (device.replica, device.task, device.device_type, device.device_index)


def merged_in_strategy(own: BatchStatistics, layer_name: str) -> BatchStatistics:
    """The statistics of all replicas, in two rounds: a center, then deviations from it.

    The center may be any number near the mean, so it takes no gradient and its rounding cancels.
    """
    values = [own.count, own.count * own.mean]
    count, weighted = _sum_across_replicas(values, layer_name, gradient=False)
    center = weighted / at_least_one(count)
    distance = own.mean - center
    sums = [own.count * distance, own.m2 + own.count * distance * distance]
    shift, m2 = _sum_across_replicas(sums, layer_name, gradient=True)
    offset = shift / at_least_one(count)
    return BatchStatistics(count, center + offset, m2 - count * offset * offset)


def _sum_across_replicas(values: Sequence[Tensor], what: str, gradient: bool) -> list[Tensor]:
    """Each of the values summed across the replicas, all in one round; `what` they belong to.

    `ReplicaContext.all_reduce` registers a gradient per call, which keeps the graph alive for good.
    That is of no weight in the body of a function, whose maker keeps it, and the only way to a
    gradient that a `tf.GradientTape` finds. In a graph of TF1 the tape is told to be refused.
    """
    # Outside of all scopes there is TensorFlow's default context, of one replica.
    if not in_replica():
        raise ValueError(
            "The gradient of statistics that are merged across replicas needs all replicas: take "
            "it inside the function given to `strategy.run`."
        )
    context = tf.distribute.get_replica_context()
    if gradient and in_function():
        context.merge_call(_check_same_layer, args=(what,))
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(values)))
    sums = list(context.merge_call(_sum_in_strategy, args=(what, *values)))
    if not gradient:
        return [tf.stop_gradient(total) for total in sums]
    # The sums are made in another thread. A tape must see that they depend on the values.
    seen = tf.identity_n([*values, *sums])[len(sums) :]
    sums = [tf.raw_ops.PreventGradient(input=total, message=_NO_TAPE) for total in seen]
    with tf.get_default_graph().gradient_override_map({"IdentityN": _SUM_GRADIENT}):
        outputs = list(tf.identity_n([*values, *sums]))
    record_sum(outputs[0].op, what)
    return outputs[len(sums) :]


@as_written
def _sum_in_strategy(strategy: Any, what: Any, *values: Any) -> Any:
    _check_same_layer(strategy, what)
    pairs = [(value, value) for value in values]
    return strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, pairs)


@as_written
def _check_same_layer(strategy: Any, what: Any) -> None:
    names = [layer_of(name) for name in strategy.experimental_local_results(what)]
    if len(set(names)) > 1:
        raise ValueError(
            "Replicas must call the same merging layers in the same order, and their losses depend "
            "on the same ones, or the statistics or gradients of different layers would be merged "
            f"(got {', '.join(map(repr, names))})."
        )


@register_gradient(_SUM_GRADIENT)
def _gradient_of_sum(op: Operation, *gradients: Tensor) -> list[Tensor | None]:
    """Every replica's loss depends on this replica's value, so their gradients add up."""
    values = len(op.inputs) // 2
    sums = _sum_across_replicas(gradients[values:], summed_by(op), gradient=True)
    return [*sums, *[None] * values]
