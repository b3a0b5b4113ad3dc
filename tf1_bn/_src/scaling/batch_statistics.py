# SPDX-License-Identifier: Apache-2.0
"""What one tower, replica or process has seen of a batch, and how such parts become one."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from ..call.call_plan import Plan
from ..kernels.moments import batch_moments
from ..plan.geometry import Geometry
from ..runtime.tensorflow_v1 import Tensor, tf
from ..runtime.training_flag import Phase


class BatchStatistics(NamedTuple):
    """What one replica has seen of a batch, in the dtype of the moving statistics.

    `count` is a scalar: the values that went into each channel's mean, 0 for an empty shard and for
    a call that is in inference when the graph runs, whose `mean` and `m2` are 0. `m2` is the sum of
    the squared deviations from `mean`.
    """

    count: Tensor
    mean: Tensor
    m2: Tensor


def merge_statistics(parts: Sequence[BatchStatistics]) -> BatchStatistics:
    """The statistics of all parts together, by Chan, Golub and LeVeque's formula, two at a time.

    Needs no difference of large numbers, so a variance that is small beside the squared mean keeps
    its digits (Stanford technical report STAN-CS-79-773, 1979). Counts may differ, and be 0.

    Args:
      parts: statistics of the same shape and floating-point dtype.

    Returns:
      The statistics of that shape and dtype, of the sum of all counts.

    Raises:
      ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("`parts` must hold the statistics of at least one replica (got none).")
    merged = parts[0]
    for part in parts[1:]:
        count = merged.count + part.count
        share = part.count / at_least_one(count)
        delta = part.mean - merged.mean
        mean = merged.mean + delta * share
        m2 = merged.m2 + part.m2 + delta * delta * (merged.count * share)
        merged = BatchStatistics(count, mean, m2)
    return merged


def batch_statistics(inputs: Tensor, training: Phase, plan: Plan) -> BatchStatistics:
    """This replica's share, of the shape and dtype of the moving statistics.

    `training` is True or a scalar bool tensor: a call in inference has no share.
    """
    geometry = plan.geometry
    keep_dims = len(geometry.channel_axes) > 1
    dtype = tf.as_dtype(geometry.param_dtype)
    moments = (plan.moments_fn or batch_moments)(inputs, geometry.reduction_axes, keep_dims)
    mean, variance = (tf.cast(moment, dtype) for moment in moments)
    if geometry.static_count:
        count = tf.constant(geometry.static_count, dtype, name="count")
        if training is True:
            return BatchStatistics(count, mean, variance * count)
    else:
        count = tf.cast(_count(inputs, geometry), dtype, name="count")
    if training is not True:
        count = tf.where(training, count, tf.zeros_like(count))
    filled = tf.greater(count, 0.0)
    m2 = tf.where(filled, variance * count, tf.zeros_like(variance))
    return BatchStatistics(count, tf.where(filled, mean, tf.zeros_like(mean)), m2)


def _count(inputs: Tensor, geometry: Geometry) -> Tensor:
    sizes = tf.gather(tf.shape(inputs, out_type=tf.int64), list(geometry.reduction_axes))
    return tf.reduce_prod(sizes)


def at_least_one(count: Tensor) -> Tensor:
    """`count`, or 1 for 0, to divide by; a scalar of the same dtype."""
    return tf.maximum(count, tf.ones_like(count))


def layer_of(statistic: str) -> str:
    """The layer's name in that of its statistic.

    >>> layer_of("net/bn/moving_mean:0")
    'net/bn'
    """
    return statistic.rpartition("/")[0]
