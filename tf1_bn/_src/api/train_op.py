# SPDX-License-Identifier: Apache-2.0
"""A train op with exactly the batch-norm updates that its loss depends on."""

from __future__ import annotations

from typing import Any, Callable, Iterable

from ..call.calls import Call, collected_calls
from ..call.stranded_updates import check_updates_can_run
from ..kernels.moments import Moments
from ..runtime.graph_search import needed_ops
from ..runtime.tensorflow_v1 import Operation, Tensor, as_written, op_of, tf

TOWER_POLICIES = ("all", "first", "averaged")

_DATA_SOURCES = ("Placeholder", "PlaceholderV2", "IteratorGetNext", "QueueDequeue")


@as_written
def minimize(
    optimizer: Any,
    loss: Tensor,
    global_step: Any = None,
    var_list: Any = None,
    name: str | None = None,
    towers: str = "all",
    **compute_gradients_kwargs: Any,
) -> Operation:
    """An op that runs the batch-norm updates `loss` depends on, then applies its gradients.

    Of the layer calls in the graph only those the loss is computed from are updated, so two towers
    or the two losses of a GAN need no placeholder of each other. Where several of these calls
    share a layer, as towers do, `towers` says who updates its statistics; that happens after the
    outputs of all of them are there. Calls that `tf1_bn.cross_replica` merged are one call.

    The classic spelling, `with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS))`
    around `optimizer.minimize(loss)`, works too and runs every update in the graph.

    Args:
      optimizer: a `tf.train.Optimizer`.
      loss: the tensor to minimize.
      global_step: a variable to increment by one.
      var_list: the variables to train; all trainable ones if None.
      name: of the returned op.
      towers: "all": each call's update, one after the other, in the order of the calls; "first":
        that of the first call alone; "averaged": one update towards the mean of the calls' batch
        means and the mean of their variances, as the MEAN of per-replica averages would move.
        Calls with an empty batch, or in inference, do not count in that mean.
      **compute_gradients_kwargs: further arguments of `optimizer.compute_gradients`.

    Returns:
      What `optimizer.apply_gradients` returns: an op, which also counts `global_step` up.

    Raises:
      TypeError: `optimizer` cannot compute and apply gradients, or `loss` is no graph tensor.
      ValueError: no variable has a gradient; `towers` is no policy; `loss` is of another graph than
        the default one; `loss` depends on a call inside of a conditional or loop that was not built
        with `tf1_bn.updates("in_place")`.
    """
    if not (hasattr(optimizer, "compute_gradients") and hasattr(optimizer, "apply_gradients")):
        raise TypeError(
            "`optimizer` must be a tf.compat.v1.train.Optimizer, with compute_gradients and "
            f"apply_gradients (got {optimizer!r})."
        )
    _check_loss(loss)
    _check_policy(towers)
    _check_graph(loss, "minimize")
    check_updates_can_run(loss, collected_calls(loss.graph), set(needed_ops([loss])))
    gradients = optimizer.compute_gradients(loss, var_list=var_list, **compute_gradients_kwargs)
    # On the gradients: around `apply_gradients` the updates would also become part of what an
    # optimizer puts beside the step, such as the queue runner of SyncReplicasOptimizer.
    with tf.control_dependencies(_updates_in_order(loss, towers)):
        waiting = [(_identity(gradient), variable) for gradient, variable in gradients]
    return optimizer.apply_gradients(waiting, global_step=global_step, name=name)


@as_written
def update_ops_for(loss: Tensor, towers: str = "all") -> list[Operation]:
    """The ops of UPDATE_OPS that belong to the computation of `loss`, in the collection's order.

    An update of a tf1_bn layer belongs to it if the loss depends on the output of that call. Any
    other op of the collection belongs to it unless it needs a placeholder, iterator or queue that
    the loss does not.

    Args:
      loss: a tensor of the graph.
      towers: which updates of calls that share a layer: "all" leaves them in no order, "first"
        leaves out those of later calls, "averaged" puts one new update in the place of all, as
        `minimize` does.

    Returns:
      A list of ops; new ones, where "averaged" made some, stand last.

    Raises:
      TypeError: `loss` is no graph tensor.
      ValueError: `towers` is no policy; it is "averaged" and `loss` is of another graph than the
        default one; `loss` depends on a call inside of a conditional or loop that was not built
        with `tf1_bn.updates("in_place")`.
    """
    _check_loss(loss)
    _check_policy(towers)
    if towers == "averaged":
        _check_graph(loss, "update_ops_for")
    calls = collected_calls(loss.graph)
    needed = set(needed_ops([loss]))
    check_updates_can_run(loss, calls, needed)
    ours = {update for call in calls for update in call.updates}
    wanted = {update for call in calls if call.outputs.op in needed for update in call.updates}
    collected = loss.graph.get_collection(tf.GraphKeys.UPDATE_OPS)
    updates = [
        op
        for op in map(op_of, collected)
        if op in wanted or (op not in ours and _data_sources(needed_ops([op])) <= needed)
    ]
    for sharing in _sharing_calls(loss, updates):
        first, *others = _distinct(sharing)
        if towers == "first":
            later = {update for call in others for update in call.updates}
            updates = [update for update in updates if update not in later]
        elif towers == "averaged" and others:
            updates = _replaced(updates, sharing, _averaged(sharing))
    return updates


def _updates_in_order(loss: Tensor, towers: str) -> list[Operation]:
    """As `update_ops_for`, with the calls of a shared layer in an order instead of racing."""
    updates = update_ops_for(loss)
    for sharing in _sharing_calls(loss, updates):
        build = {"all": _chain, "first": _first, "averaged": _averaged}[towers]
        updates = _replaced(updates, sharing, build(sharing))
    return updates


def _sharing_calls(loss: Tensor, updates: Iterable[Operation]) -> list[list[Call]]:
    """The calls among whose updates these are, two or more of one layer each, in order."""
    chosen = set(updates)
    by_layer: dict[int, list[Call]] = {}
    for call in collected_calls(loss.graph):
        if chosen.issuperset(call.updates):
            by_layer.setdefault(id(call.variables.moving_mean), []).append(call)
    return [calls for calls in by_layer.values() if len(calls) > 1]


def _distinct(calls: Iterable[Call]) -> list[Call]:
    """One call of each batch: those that were merged have one and the same updates."""
    first: dict[tuple[Operation, ...], Call] = {}
    for call in calls:
        first.setdefault(call.updates, call)
    return list(first.values())


def _replaced(
    updates: list[Operation], calls: Iterable[Call], replacement: list[Operation]
) -> list[Operation]:
    """`updates` without those of `calls`, and with the replacement at the end."""
    raced = {update for call in calls for update in call.updates}
    return [update for update in updates if update not in raced] + replacement


def _chain(calls: list[Call]) -> list[Operation]:
    """The updates of all calls, each after those of the call before; returns the last ones."""
    done = _outputs(calls)
    for call in _distinct(calls):
        with tf.name_scope("updates_in_order"), tf.control_dependencies(done):
            done = call.updates_again()
    return done


def _first(calls: list[Call]) -> list[Operation]:
    """The updates of the first call alone."""
    return _chain_of_one(calls, calls[0].updates_again)


def _averaged(calls: list[Call]) -> list[Operation]:
    """One update of each average, towards the mean of the calls' moments."""
    moments, active = _averaged_moments(_distinct(calls))
    return _chain_of_one(calls, lambda: calls[0].updates_again(moments, active))


def _chain_of_one(calls: list[Call], build: Callable[[], list[Operation]]) -> list[Operation]:
    """The updates that `build` makes, which wait for the outputs of all calls."""
    with tf.name_scope("updates_of_towers"), tf.control_dependencies(_outputs(calls)):
        return build()


def _outputs(calls: Iterable[Call]) -> list[Any]:
    """What must be there first: outputs may be computed from the averages before this step."""
    return [call.outputs.op for call in calls]


def _averaged_moments(calls: list[Call]) -> tuple[Moments, Tensor | None]:
    """The mean of the calls' batch moments, and whether any call counts; None for surely."""
    with tf.name_scope("averaged_moments"):
        moments = [call.moments for call in calls]
        if all(call.active is None for call in calls):
            return Moments(*(tf.add_n(parts) / float(len(parts)) for parts in zip(*moments))), None
        dtype = moments[0].mean.dtype
        counts = [
            tf.ones([], dtype) if call.active is None else tf.cast(call.active, dtype)
            for call in calls
        ]
        total = tf.add_n(counts)
        # tf.where, not a product: an empty batch's moments are NaN, and NaN * 0 is NaN.
        chosen = [
            [tf.where(count > 0.0, part, tf.zeros_like(part)) for count, part in zip(counts, parts)]
            for parts in zip(*moments)
        ]
        divisor = tf.maximum(total, 1.0)
        return Moments(*(tf.add_n(parts) / divisor for parts in chosen)), total > 0.0


def _identity(gradient: Any) -> Any:
    """The gradient as it is, once what it is to wait for has run."""
    if gradient is None:
        return None
    if not isinstance(gradient, tf.IndexedSlices):
        return tf.identity(gradient)
    return tf.IndexedSlices(tf.identity(gradient.values), gradient.indices, gradient.dense_shape)


def _data_sources(operations: Iterable[Operation]) -> set[Operation]:
    """Those of `operations` that bring data in from outside of the graph."""
    return {op for op in operations if op.type in _DATA_SOURCES or "Dequeue" in op.type}


def _check_loss(loss: Any) -> None:
    if not tf.is_tensor(loss) or not isinstance(getattr(loss, "graph", None), tf.Graph):
        raise TypeError(f"`loss` must be a tensor of a graph (got {loss!r}).")


def _check_graph(loss: Tensor, caller: str) -> None:
    """Raises unless what `caller` builds belongs to the graph of `loss` or to a body inside it."""
    default = graph = tf.get_default_graph()
    while graph is not None:
        if graph is loss.graph:
            return
        graph = getattr(graph, "outer_graph", None)
    raise ValueError(
        f"tf1_bn.{caller} builds ops, and `loss` must be of the default graph {default!r} (got "
        f"{loss!r} of the graph {loss.graph!r}): call it inside of `with loss.graph.as_default():`."
    )


def _check_policy(towers: Any) -> None:
    if towers not in TOWER_POLICIES:
        raise ValueError(f"`towers` must be one of {list(TOWER_POLICIES)} (got {towers!r}).")
