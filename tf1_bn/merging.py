# SPDX-License-Identifier: Apache-2.0
"""Batch statistics that are merged across towers, replicas and processes."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ._compat import Operation, Tensor, as_written, register_gradient, tf
from .core import Applied, apply_batch_norm, normalize
from .geometry import Geometry
from .kernel_choice import Kernel, KernelChoice
from .moments import Moments, batch_moments
from .open_scopes import OpenScopes, in_replica
from .plan import Plan

MERGED = KernelChoice(Kernel.COMPOSED, Kernel.COMPOSED, "the statistics are merged across replicas")

# As in gradient.py: one function for all graphs, under the name of the file to import.
_SUM_GRADIENT = "tf1_bn.merging.sum_across_replicas"


class BatchStatistics(NamedTuple):
    """What one replica has seen of a batch, in the dtype of the moving statistics.

    `count` is a scalar: the values that went into each channel's mean, 0 for an empty shard, whose
    `mean` and `m2` are 0. `m2` is the sum of the squared deviations from `mean`.
    """

    count: Tensor
    mean: Tensor
    m2: Tensor


Merge = Callable[[BatchStatistics], BatchStatistics]


def merge_statistics(parts: Sequence[BatchStatistics]) -> BatchStatistics:
    """The statistics of all parts together, by Chan, Golub and LeVeque's formula, two at a time.

    Needs no difference of large numbers, so a variance that is small beside the squared mean keeps
    its digits (Stanford technical report STAN-CS-79-773, 1979). Counts may differ, and be 0.

    Args:
      parts: statistics of the same shape and floating-point dtype.

    Raises:
      ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("`parts` must hold the statistics of at least one replica (got none).")
    merged = parts[0]
    for part in parts[1:]:
        count = merged.count + part.count
        share = part.count / _at_least_one(count)
        delta = part.mean - merged.mean
        mean = merged.mean + delta * share
        m2 = merged.m2 + part.m2 + delta * delta * (merged.count * share)
        merged = BatchStatistics(count, mean, m2)
    return merged


class Shared(NamedTuple):
    """Merged statistics of replicas that also share the variables.

    `applied` is one list for all of them: the first puts in what it added to the graph, and the
    others take over its update ops, because one merged batch is one update.
    """

    statistics: BatchStatistics
    applied: list[Applied]


class Meeting:
    """How the tower that runs in a thread meets the others; `towers` subclasses it."""

    def meet(self, layer_name: str, statistics: BatchStatistics) -> Shared:
        """Waits for the other towers to bring their statistics of this layer."""
        raise NotImplementedError


class _Scope(NamedTuple):
    """A scope of `cross_replica`."""

    merge: Merge | None


_scopes = OpenScopes()


class _Here(threading.local):
    """What is true of this thread alone."""

    meeting: Meeting | None = None


_here = _Here()


@contextlib.contextmanager
def cross_replica(merge: Merge | None = None) -> Iterator[None]:
    """Inside, the layers that are called for training merge their batch statistics.

    It concerns `tf1_bn.batch_normalization` and `tf1_bn.BatchNormalization` alike. Each call counts
    its values per channel, their mean and the sum of their squared deviations, hands these to
    `merge`, and normalizes with the mean and variance of what comes back; gradients flow through
    it. Merged calls use the composed kernel: the moving variance moves towards the merged batch's
    population variance, whatever the rank. Calls with `training=False` are left as they are.

    May be opened inside the function of a tower or replica, or around `tf1_bn.run_towers` and
    `strategy.run`.

    Args:
      merge: a function of this replica's `BatchStatistics` to the merged ones. It is called once
        for each layer call, where that call stands in the graph, outside of the layer's own
        conditional. None merges with what the call stands in: the towers of `tf1_bn.run_towers`,
        or the replicas of a `tf.distribute` strategy.

    Raises:
      TypeError: `merge` cannot be called, or gives no `BatchStatistics`.
      ValueError: of a layer call for training: `merge` is None and there are neither towers nor
        replicas; `virtual_batch_size` is set, which splits batches instead of merging them.
    """
    if merge is not None and not callable(merge):
        raise TypeError(f"`merge` must be None or a callable (got {merge!r}).")
    with _scopes.opened(_Scope(merge)):
        yield


def open_scope() -> Any:
    """The `cross_replica` scope around the running code; None outside of any."""
    return _scopes.innermost()


@contextlib.contextmanager
def tower_thread(meeting: Meeting, inherited: Any) -> Iterator[None]:
    """Makes this thread a tower's: it meets the others, inside the scope its starter was in."""
    _here.meeting = meeting
    try:
        with _scopes.inheriting(inherited):
            yield
    finally:
        _here.meeting = None


def apply_in_scope(inputs: Tensor, training: Any, plan: Plan) -> Applied:
    """`apply_batch_norm`, with merged statistics where a `cross_replica` scope is open."""
    scope = None if training is False else open_scope()
    if scope is None:
        return apply_batch_norm(inputs, training, plan)
    if plan.spec.virtual_batch_size is not None:
        raise ValueError(
            "`virtual_batch_size` must be None inside of `tf1_bn.cross_replica`: it splits the "
            f"batch whose parts are to be merged (got {plan.spec.virtual_batch_size!r})."
        )
    # Outside of the layer's conditional, so that replicas in different phases still meet.
    with tf.name_scope("cross_replica"):
        own = _batch_statistics(inputs, plan)
        merged = _merge(own, scope.merge, plan.variables.moving_mean.name)
        statistics = merged.statistics
        variance = statistics.m2 / _at_least_one(statistics.count)
        moments = Moments(tf.identity(statistics.mean, "mean"), tf.identity(variance, "variance"))
        always = bool(plan.geometry.static_count)
        filled = None if always else tf.greater(statistics.count, 0.0, name="has_values")
    plan = plan._replace(
        choice=MERGED,
        moments_fn=lambda seen, *_: _where_seen(moments, inputs, seen),
        has_values_fn=lambda *_: filled,
    )
    if merged.applied:
        outputs = normalize(inputs, training, plan).normalized.outputs
        return merged.applied[0]._replace(outputs=outputs)
    applied = apply_batch_norm(inputs, training, plan)
    merged.applied.append(applied)
    return applied


def _where_seen(moments: Moments, inputs: Tensor, seen: Tensor) -> Moments:
    """The moments for a branch that sees `seen` in the place of `inputs`.

    Where the layer switches its tensors itself, what stands outside has to be switched as well.
    """
    if seen is inputs or seen.op.type != "Switch":
        return moments
    predicate = seen.op.inputs[1]
    return Moments(*(tf.raw_ops.Switch(data=m, pred=predicate).output_true for m in moments))


def _merge(own: BatchStatistics, merge: Merge | None, layer_name: str) -> Shared:
    if merge is not None:
        merged = merge(own)
        if not isinstance(merged, BatchStatistics):
            raise TypeError(f"`merge` must return a tf1_bn.BatchStatistics (got {merged!r}).")
        return Shared(merged, [])
    if _here.meeting is not None:
        return _here.meeting.meet(layer_name, own)
    if in_replica():
        return Shared(_merged_in_strategy(own), [])
    raise ValueError(
        "`tf1_bn.cross_replica` found nothing to merge with: call the layer in a function given to "
        "`tf1_bn.run_towers` or to the `run` of a tf.distribute strategy, or name a `merge` "
        f"(got {merge!r})."
    )


def _batch_statistics(inputs: Tensor, plan: Plan) -> BatchStatistics:
    """This replica's share, of the shape and dtype of the moving statistics."""
    geometry = plan.geometry
    keep_dims = len(geometry.channel_axes) > 1
    dtype = tf.as_dtype(geometry.param_dtype)
    moments = (plan.moments_fn or batch_moments)(inputs, geometry.reduction_axes, keep_dims)
    mean, variance = (tf.cast(moment, dtype) for moment in moments)
    if geometry.static_count:
        count = tf.constant(geometry.static_count, dtype, name="count")
        return BatchStatistics(count, mean, variance * count)
    count = tf.cast(_count(inputs, geometry), dtype, name="count")
    filled = tf.greater(count, 0.0)
    m2 = tf.where(filled, variance * count, tf.zeros_like(variance))
    return BatchStatistics(count, tf.where(filled, mean, tf.zeros_like(mean)), m2)


def _count(inputs: Tensor, geometry: Geometry) -> Tensor:
    sizes = tf.gather(tf.shape(inputs, out_type=tf.int64), list(geometry.reduction_axes))
    return tf.reduce_prod(sizes)


def _at_least_one(count: Tensor) -> Tensor:
    return tf.maximum(count, tf.ones_like(count))


# -- replicas of a strategy --------------------------------------------------------------------


def _merged_in_strategy(own: BatchStatistics) -> BatchStatistics:
    """The statistics of all replicas, in two rounds: a center, then deviations from it.

    The center may be any number near the mean, so it takes no gradient and its rounding cancels.
    """
    count, weighted = _sum_across_replicas([own.count, own.count * own.mean], gradient=False)
    center = weighted / _at_least_one(count)
    distance = own.mean - center
    sums = [own.count * distance, own.m2 + own.count * distance * distance]
    shift, m2 = _sum_across_replicas(sums, gradient=True)
    offset = shift / _at_least_one(count)
    return BatchStatistics(count, center + offset, m2 - count * offset * offset)


def _sum_across_replicas(values: Sequence[Tensor], gradient: bool) -> list[Tensor]:
    """Each of the values summed across the replicas, all in one round.

    `ReplicaContext.all_reduce` would register a gradient per call, which keeps every graph alive.
    """
    context = tf.distribute.get_replica_context()
    if context is None:
        raise ValueError(
            "The gradient of statistics that are merged across replicas needs all replicas: take "
            "it inside the function given to `strategy.run`."
        )
    sums = list(context.merge_call(_sum_in_strategy, args=tuple(values)))
    if not gradient:
        return [tf.stop_gradient(total) for total in sums]
    with tf.get_default_graph().gradient_override_map({"IdentityN": _SUM_GRADIENT}):
        return list(tf.identity_n([*values, *sums]))[len(sums) :]


@as_written
def _sum_in_strategy(strategy: Any, *values: Any) -> Any:
    pairs = [(value, value) for value in values]
    return strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, pairs)


@register_gradient(_SUM_GRADIENT)
def _gradient_of_sum(op: Operation, *gradients: Tensor) -> list[Tensor | None]:
    """Every replica's loss depends on this replica's value, so their gradients add up."""
    values = len(op.inputs) // 2
    return [*_sum_across_replicas(gradients[values:], gradient=True), *[None] * values]
