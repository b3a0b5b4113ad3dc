# SPDX-License-Identifier: Apache-2.0
"""Pairs of tensors: moments, plain and per ghost batch, and the affine that follows them."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from ..runtime.tensorflow_v1 import Tensor, tf


class Moments(NamedTuple):
    """Mean and population variance, of one dtype and shape, mostly those of the variables."""

    mean: Tensor
    variance: Tensor


class Affine(NamedTuple):
    """y = x_hat * scale + offset; None stands for 1 and for 0.

    Both have the shape of the variables, or one that broadcasts to the input.
    """

    scale: Tensor | None
    offset: Tensor | None

    def after(self, scale: Tensor, offset: Tensor) -> Affine:
        """The transform that first applies `scale` and `offset`, then this one."""
        if self.scale is None:
            composed_scale, composed_offset = scale, offset
        else:
            composed_scale, composed_offset = scale * self.scale, offset * self.scale
        if self.offset is not None:
            composed_offset = composed_offset + self.offset
        return Affine(composed_scale, composed_offset)

    def zero_where_empty(self, filled: Tensor) -> Affine:
        """With a scale of 0 for an empty batch, for which XLA's gradient of the fused op is NaN."""
        if self.scale is None:
            return self
        zeros = tf.zeros(self.scale.shape, self.scale.dtype)
        return self._replace(scale=tf.where(filled, self.scale, zeros))


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


def sample_factor(inverse_count: Any) -> Any:
    """N / (N - 1) of 1 / N, a number or a tensor; 1 for a single value, 0 for an empty batch."""
    if not tf.is_tensor(inverse_count):
        count = round(1.0 / inverse_count) if inverse_count else 0.0
        return count / max(count - 1.0, 1.0)
    count = tf.round(tf.math.divide_no_nan(tf.ones_like(inverse_count), inverse_count))
    return count / tf.maximum(count - 1.0, tf.ones_like(count))


def flat(pair: Any) -> Any:
    """The values of `pair`, Moments or an Affine, as `[channels]`; None stays None."""
    values = (
        value if value is None or value.shape.ndims == 1 else tf.reshape(value, [-1], name="flat")
        for value in pair
    )
    return type(pair)(*values)
