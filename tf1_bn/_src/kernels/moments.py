# SPDX-License-Identifier: Apache-2.0
"""Batch moments, plain and per ghost batch, as pure functions of tensors."""

from __future__ import annotations

from typing import Any, Callable, Iterable, NamedTuple, Sequence

from ..plan.geometry import Geometry
from ..runtime.tensorflow_v1 import Tensor, tf


class Moments(NamedTuple):
    """Mean and population variance, of one dtype and shape, mostly those of the variables."""

    mean: Tensor
    variance: Tensor


# Channels from which BiasAddGrad sums rows quicker than reduce_sum does. Milliseconds of float64:
# [4096, 512] 0.5 and 2.0, but [100000, 8] 0.77 and 0.07.
_BIAS_GRADIENT_CHANNELS = 128

# Takes inputs, the axes to reduce, and whether to keep these with size 1.
MomentsFn = Callable[[Tensor, Sequence[int], bool], Moments]


def batch_moments(inputs: Tensor, reduction_axes: Sequence[int], keep_dims: bool) -> Moments:
    """Mean and population variance of `inputs` over `reduction_axes`, two passes, float32 or more.

    Half-precision inputs are summed in float32, and the moments stay float32. The center of the
    variance takes no gradient, which spares a pass in training; unlike `tf.nn.moments` this keeps
    derivatives of every order right.

    Returns:
      The moments, of the shape of the inputs without `reduction_axes`, or with 1 there for
      `keep_dims`.
    """
    if _is_half(inputs):
        inputs = tf.cast(inputs, tf.float32)
    axes = list(reduction_axes)
    with tf.name_scope("moments"):
        mean = tf.reduce_mean(inputs, axes, keepdims=True, name="mean")
        center = tf.stop_gradient(mean)
        squares = tf.reduce_mean(tf.squared_difference(inputs, center), axes, keepdims=True)
        # Zero, but not its second derivative: the variance is this difference for any center.
        variance = tf.subtract(squares, tf.square(mean - center), name="variance")
        if keep_dims:
            return Moments(mean, variance)
        return Moments(tf.squeeze(mean, axes), tf.squeeze(variance, axes))


def centered_moments(
    inputs: Tensor, reduction_axes: Sequence[int], inverse_count: Any, keep_dims: bool
) -> tuple[Tensor, Moments]:
    """`inputs` less their mean, and the moments as `batch_moments` has them, with the fewest ops.

    Differentiating them takes more passes: for use with a gradient by hand.

    Args:
      inputs: in the dtype of the moments.
      reduction_axes: all but those of the channels.
      inverse_count: of `inverse_count_of`.
      keep_dims: whether the moments keep the reduced axes, with size 1.
    """

    def mean_of(values: Tensor, name: str) -> Tensor:
        if not keep_dims and _sums_by_bias_gradient(values.shape.as_list()):
            total = tf.raw_ops.BiasAddGrad(out_backprop=values)
            return tf.multiply(total, inverse_count, name=name)
        return tf.reduce_mean(values, list(reduction_axes), keepdims=keep_dims, name=name)

    with tf.name_scope("moments"):
        mean = mean_of(inputs, "mean")
        centered = inputs - mean
        return centered, Moments(mean, mean_of(tf.square(centered), "variance"))


def inverse_count_of(inputs: Tensor, reduction_axes: Sequence[int]) -> Any:
    """1 / the number of values in each moment, 0 for none: a number where the sizes are known.

    Otherwise a tensor of the statistics' dtype, float32 for half precision: float16 ends at 65 504.
    """
    # Not infinity for an empty batch: times its sums of 0 that is NaN in second derivatives.
    static = inputs.shape.as_list()
    reduced = [static[axis] for axis in reduction_axes]
    if None not in reduced:
        count = _product(reduced)
        return 1.0 / count if count else 0.0
    dtype = tf.float32 if _is_half(inputs) else inputs.dtype
    kept = [size for axis, size in enumerate(static) if axis not in reduction_axes]
    if None not in kept:
        values = tf.cast(tf.size(inputs, out_type=tf.int64), dtype)
        return tf.math.divide_no_nan(tf.constant(_product(kept), dtype), values)
    counted = tf.gather(tf.shape(inputs, out_type=tf.int64), list(reduction_axes))
    counted = tf.cast(tf.reduce_prod(counted), dtype)
    return tf.math.divide_no_nan(tf.ones([], dtype), counted)


def _is_half(inputs: Tensor) -> bool:
    return tf.as_dtype(inputs.dtype) in (tf.float16, tf.bfloat16)


def _product(sizes: Iterable[int]) -> float:
    product = 1.0
    for size in sizes:
        product *= size
    return product


def sum_like(values: Tensor, statistic: Tensor, seen: Tensor) -> Tensor:
    """`values`, of the shape of `seen`, summed to the shape of `statistic`, which broadcasts to it.

    Control flow v2 of TF 1.15 loses the shapes of what a gradient computes and of variables that a
    branch reads, so `values` is not asked for one, and unknown ones are found when the graph runs.
    """
    if seen.shape.ndims is None or statistic.shape.ndims is None:
        goal = tf.shape(statistic)
        axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(seen), s1=goal).r1
        return tf.reshape(tf.reduce_sum(values, axes), goal)
    shape, kept = seen.shape.as_list(), statistic.shape.as_list()
    if len(kept) == len(shape):
        axes = [axis for axis, size in enumerate(kept) if size == 1 and shape[axis] != 1]
        return tf.reduce_sum(values, axes, keepdims=True) if axes else values
    if _sums_by_bias_gradient(shape):
        return tf.raw_ops.BiasAddGrad(out_backprop=values)
    return tf.reduce_sum(values, list(range(len(shape) - 1)))


def _sums_by_bias_gradient(shape: Sequence[int | None]) -> bool:
    """Whether the gradient of a bias add is the quicker sum over all axes but the last."""
    *others, channels = shape
    return 1 <= len(others) <= 3 and bool(channels and channels >= _BIAS_GRADIENT_CHANNELS)


def has_values(inputs: Tensor, geometry: Geometry) -> Tensor | None:
    """A scalar bool tensor that is False for an empty batch; None if it can never be empty."""
    if geometry.static_count:
        return None
    return tf.cast(tf.size(inputs, out_type=tf.int64), tf.bool, name="has_values")


def moments_or(batch: Moments, fallback: Moments, batch_has_values: Tensor | None) -> Moments:
    """The batch moments, or `fallback` for an empty batch, whose own moments are NaN.

    A NaN would reach the moving statistics and, through 0 * NaN, the gradient of gamma for good.
    """
    if batch_has_values is None:
        return batch
    return Moments(
        tf.where(batch_has_values, batch.mean, fallback.mean),
        tf.where(batch_has_values, batch.variance, fallback.variance),
    )


def ghost_view(inputs: Tensor, virtual_batch_size: int) -> Tensor:
    """`[V * G, ...]` seen as `[V, G, ...]`: ghost batch g is `[:, g]`, rows g, G + g, 2 G + g, ...

    Returns:
      A tensor of that shape, with G unknown where the batch is. It fails at run time when V does
      not divide the batch.
    """
    sizes = tf.shape(inputs)
    ghost_count = sizes[0] // virtual_batch_size
    viewed = tf.reshape(
        inputs, tf.concat([[virtual_batch_size, ghost_count], sizes[1:]], 0), name="Reshape"
    )
    static = inputs.shape.as_list()
    static_count = None if static[0] is None else static[0] // virtual_batch_size
    viewed.set_shape([virtual_batch_size, static_count] + static[1:])
    return viewed


def mean_over_ghosts(moments: Moments) -> Moments:
    """Averages moments of shape `[1, G, ...]` to `[1, 1, ...]`: what the moving statistics see."""
    return Moments(
        tf.reduce_mean(moments.mean, axis=1, keepdims=True),
        tf.reduce_mean(moments.variance, axis=1, keepdims=True),
    )
