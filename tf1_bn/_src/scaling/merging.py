# SPDX-License-Identifier: Apache-2.0
"""Batch statistics that are merged across towers, replicas and processes."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Iterator, List, Tuple

from ..call.call_plan import Plan
from ..call.calls import Call
from ..call.core import apply_batch_norm, normalize, updated
from ..kernels.batch import moments_or
from ..kernels.moments import Moments
from ..plan.kernel_choice import MERGED
from ..runtime.graph_place import calls_of
from ..runtime.open_scopes import in_replica, innermost, opened
from ..runtime.tensorflow_v1 import Tensor, tf
from ..runtime.training_flag import Phase
from ..state.reach import full_name
from .batch_statistics import BatchStatistics, at_least_one, batch_statistics, layer_of
from .replica_merge import check_place, merged_in_strategy

# The kind of the scopes of `cross_replica`.
SCOPE = "cross_replica"

Merge = Callable[[BatchStatistics], BatchStatistics]
# Takes what one tower or replica has seen of a batch, and gives the statistics of all. With them
# comes a list for those that share variables: the first adds the call that it built, and the others
# take its update ops, because one merged batch is one update.
Meet = Callable[[BatchStatistics], Tuple[BatchStatistics, List[Call]]]

# The value of a scope without a `merge`.
_AROUND = "with the towers or replicas around the call"

# In the thread of a tower, its `meeting` is a function from the full name of a layer's moving mean
# to a `Meet`. It raises where the other towers cannot be built while this one waits.
_here = threading.local()


@contextlib.contextmanager
def cross_replica(merge: Merge | None = None) -> Iterator[None]:
    """Inside, the layers that are called for training merge their batch statistics.

    It concerns `tf1_bn.batch_normalization` and `tf1_bn.BatchNormalization` alike. Each call counts
    its values per channel, their mean and the sum of their squared deviations, hands these to
    `merge`, and normalizes with the mean and variance of what comes back; gradients flow through
    it. Merged calls use the composed kernel: the moving variance moves towards the merged batch's
    population variance, whatever the rank. Calls with `training=False` are left as they are.
    Where the phase is a tensor, a call in inference brings a count of 0 and is normalized as ever;
    the averages of towers and replicas move if any of them trains.

    May be opened inside the function of a tower or replica, or around `tf1_bn.run_towers` and
    `strategy.run`. A strategy's replicas run in threads that do not say who started them: without a
    scope of their own they take the one opened last outside of replicas, in whichever thread.

    Args:
      merge: a function of this replica's `BatchStatistics` to the merged ones. It is called once
        for each layer call, where that call stands in the graph, outside of the layer's own
        conditional. None merges with what the call stands in: the towers of `tf1_bn.run_towers`,
        or the replicas of a `tf.distribute` strategy.

    Raises:
      TypeError: `merge` cannot be called, or gives no `BatchStatistics`.
      ValueError: of a layer call for training: `merge` is None and there are neither towers nor
        replicas; it stands in a `tf.cond` or loop inside of a tower or replica; replicas call
        different layers; `virtual_batch_size` is set, which splits batches instead of merging them.
    """
    if merge is not None and not callable(merge):
        raise TypeError(f"`merge` must be None or a callable (got {merge!r}).")
    with opened(SCOPE, _AROUND if merge is None else merge):
        yield


def in_tower() -> bool:
    """Whether the running code is the function of a tower."""
    return _meeting() is not None


def _meeting() -> Callable[[str], Meet] | None:
    return getattr(_here, "meeting", None)


def open_scope() -> Any:
    """How the `cross_replica` scope around the running code merges; None outside of any."""
    return innermost(SCOPE)


@contextlib.contextmanager
def tower_thread(meeting: Callable[[str], Meet]) -> Iterator[None]:
    """Makes this thread a tower's, whose layers meet those of the others as `meeting` says."""
    _here.meeting = meeting
    try:
        yield
    finally:
        _here.meeting = None


def apply_in_scope(inputs: Tensor, training: Phase, plan: Plan) -> Call:
    """`apply_batch_norm` for training, with merged statistics where a scope is open."""
    scope = open_scope()
    if scope is None or scope is _AROUND:
        _check_not_again(inputs, plan)
    if scope is None:
        return apply_batch_norm(inputs, training, plan)
    if plan.spec.virtual_batch_size is not None:
        raise ValueError(
            "`virtual_batch_size` must be None inside of `tf1_bn.cross_replica`: it splits the "
            f"batch whose parts are to be merged (got {plan.spec.virtual_batch_size!r})."
        )
    meet = _meeting_point(scope, full_name(plan.variables.moving_mean, "moving_mean"))
    # Outside of the layer's conditional, so that replicas in different phases still meet.
    with tf.name_scope("cross_replica"):
        statistics, applied = meet(batch_statistics(inputs, training, plan))
        variance = statistics.m2 / at_least_one(statistics.count)
        moments = Moments(tf.identity(statistics.mean, "mean"), tf.identity(variance, "variance"))
        always = training is True and bool(plan.geometry.static_count)
        filled = None if always else tf.greater(statistics.count, 0.0, name="has_values")
    plan = plan._replace(choice=MERGED, given=moments, given_filled=filled)
    outcome = normalize(inputs, training, plan)
    if applied:
        return applied[0]._replace(inputs=inputs, outputs=outcome.call.outputs)
    wait = []
    if training is not True and scope is _AROUND:
        # The averages move if any tower or replica trains, whatever this one does.
        towards = moments_or(moments, outcome.moving, filled)
        call = outcome.call._replace(moments=towards, active=filled)
        outcome = outcome._replace(call=call)
        # In inference the outputs are computed from what the updates write.
        wait = [call.outputs]
    with tf.control_dependencies(wait):
        call = updated(outcome, plan)
    applied.append(call)
    return call


def _check_not_again(inputs: Tensor, plan: Plan) -> None:
    """Checks that this is no replay of a merged call, outside of its towers or replicas.

    Raises:
      ValueError: it is: `tf.recompute_grad` builds a call anew where the gradient is taken.
    """
    if in_tower() or (in_replica() and open_scope() is not None):
        return
    mean = plan.variables.moving_mean
    # TF 1.15 gives the same inputs again, later ones what they make of them in the gradient.
    in_gradient = "_grad/" in inputs.name or "gradient_tape/" in inputs.name
    for call in calls_of(tf.get_default_graph()):
        merged = call.choice is MERGED and call.variables.moving_mean is mean
        if merged and (in_gradient or _source(call.inputs) == _source(inputs)):
            raise ValueError(
                f"A merged call of the layer {layer_of(full_name(mean, 'moving_mean'))!r} is built "
                "again where nothing is merged, as tf.recompute_grad does: take the gradient "
                "without tf.recompute_grad, or put it around parts without a merged layer (got "
                f"{inputs!r})."
            )


def _source(tensor: Tensor) -> str:
    """The name of the tensor that identities pass on; its object may be another each time."""
    while tensor.op.type in ("Identity", "IdentityN"):
        tensor = tensor.op.inputs[tensor.value_index]
    return str(tensor.name)


def _meeting_point(scope: Any, layer_name: str) -> Meet:
    """What brings this call's statistics together with those of the others."""
    meeting = _meeting()
    if scope is not _AROUND:
        return lambda own: (_merged_by(scope, own), [])
    if meeting is not None:
        return meeting(layer_name)
    if in_replica():
        check_place(layer_name)
        return lambda own: (merged_in_strategy(own, layer_name), [])
    raise ValueError(
        "`tf1_bn.cross_replica` found nothing to merge with: call the layer in a function given to "
        "`tf1_bn.run_towers` or to the `run` of a tf.distribute strategy, or name a `merge` "
        "(got None)."
    )


def _merged_by(merge: Merge, own: BatchStatistics) -> BatchStatistics:
    merged = merge(own)
    if not isinstance(merged, BatchStatistics):
        raise TypeError(f"`merge` must return a tf1_bn.BatchStatistics (got {merged!r}).")
    return merged
