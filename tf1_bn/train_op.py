# SPDX-License-Identifier: Apache-2.0
"""A train op with exactly the batch-norm updates that its loss depends on."""

from __future__ import annotations

from typing import Any, Iterable

from ._compat import Operation, Tensor, as_written, tf
from .graph_collections import Call, recorded_calls

_DATA_SOURCES = ("Placeholder", "PlaceholderV2", "IteratorGetNext", "QueueDequeue")


@as_written
def minimize(
    optimizer: Any,
    loss: Tensor,
    global_step: Any = None,
    var_list: Any = None,
    name: str | None = None,
    **compute_gradients_kwargs: Any,
) -> Operation:
    """Returns an op that runs the batch-norm updates `loss` depends on, then applies its gradients.

    Of the layer calls in the graph only those the loss is computed from are updated, so two towers
    or the two losses of a GAN need no placeholder of each other. Where several of these calls
    share a layer, their updates are applied one after the other, in the order of the calls.

    The classic spelling, `with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS))`
    around `optimizer.minimize(loss)`, works too and runs every update in the graph.

    Args:
      optimizer: a `tf.train.Optimizer`.
      loss: the tensor to minimize.
      global_step: a variable to increment by one.
      var_list: the variables to train; all trainable ones if None.
      name: of the returned op.
      **compute_gradients_kwargs: further arguments of `optimizer.compute_gradients`.

    Raises:
      TypeError: `optimizer` cannot compute and apply gradients, or `loss` is no graph tensor.
      ValueError: no variable has a gradient.
    """
    if not (hasattr(optimizer, "compute_gradients") and hasattr(optimizer, "apply_gradients")):
        raise TypeError(
            "`optimizer` must be a tf.compat.v1.train.Optimizer, with compute_gradients and "
            f"apply_gradients (got {optimizer!r})."
        )
    _check_loss(loss)
    gradients = optimizer.compute_gradients(loss, var_list=var_list, **compute_gradients_kwargs)
    with tf.control_dependencies(_updates_in_order(loss)):
        return optimizer.apply_gradients(gradients, global_step=global_step, name=name)


@as_written
def update_ops_for(loss: Tensor) -> list[Operation]:
    """The ops of UPDATE_OPS that belong to the computation of `loss`, in the collection's order.

    An update of a tf1_bn layer belongs to it if the loss depends on the output of that call. Any
    other op of the collection belongs to it unless it needs a placeholder, iterator or queue that
    the loss does not.

    Raises:
      TypeError: `loss` is no graph tensor.
    """
    _check_loss(loss)
    calls = recorded_calls(loss.graph)
    needed = _needed_ops([loss.op])
    ours = {update for call in calls for update in call.updates}
    wanted = {update for call in calls if call.outputs.op in needed for update in call.updates}
    collected = loss.graph.get_collection(tf.GraphKeys.UPDATE_OPS)
    operations = [item if isinstance(item, tf.Operation) else item.op for item in collected]
    return [
        op
        for op in operations
        if op in wanted or (op not in ours and _data_sources(_needed_ops([op])) <= needed)
    ]


def _updates_in_order(loss: Tensor) -> list[Operation]:
    """As `update_ops_for`, with the calls of a shared layer chained instead of racing."""
    updates: list[Operation] = update_ops_for(loss)
    chosen = set(updates)
    by_layer: dict[int, list[Call]] = {}
    for call in recorded_calls(loss.graph):
        if chosen.issuperset(call.updates):
            by_layer.setdefault(id(call.statistics[0]), []).append(call)
    for calls in by_layer.values():
        if len(calls) > 1:
            chained = _chain(calls)
            raced = {update for call in calls for update in call.updates}
            updates = [update for update in updates if update not in raced] + chained
    return updates


def _chain(calls: Iterable[Call]) -> list[Operation]:
    done: list[Operation] = []
    for call in calls:
        with tf.name_scope("updates_in_order"), tf.control_dependencies(done):
            done = call.updates_again()
    return done


def _needed_ops(targets: Iterable[Operation]) -> set[Operation]:
    seen = set(targets)
    pending = list(seen)
    while pending:
        op = pending.pop()
        for source in [tensor.op for tensor in op.inputs] + list(op.control_inputs):
            if source not in seen:
                seen.add(source)
                pending.append(source)
    return seen


def _data_sources(operations: Iterable[Operation]) -> set[Operation]:
    return {op for op in operations if op.type in _DATA_SOURCES or "Dequeue" in op.type}


def _check_loss(loss: Any) -> None:
    if not tf.is_tensor(loss) or not isinstance(getattr(loss, "graph", None), tf.Graph):
        raise TypeError(f"`loss` must be a tensor of a graph (got {loss!r}).")
