# SPDX-License-Identifier: Apache-2.0
"""Batch moments, plain and per ghost batch, as pure functions of tensors."""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

from ..runtime.tensorflow_v1 import Tensor, tf


class Moments(NamedTuple):
    """Mean and population variance, of one dtype and shape, mostly those of the variables."""

    mean: Tensor
    variance: Tensor


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
    if is_half(inputs):
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


def is_half(inputs: Tensor) -> bool:
    return tf.as_dtype(inputs.dtype) in (tf.float16, tf.bfloat16)


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
