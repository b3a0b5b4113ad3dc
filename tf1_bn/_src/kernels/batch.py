# SPDX-License-Identifier: Apache-2.0
"""What kernels take and give: a batch, its moments and its affine, in the shapes they come in."""

from __future__ import annotations

from typing import Any, Callable, Iterable, NamedTuple, Sequence

from ..plan.costs import ANY_MACHINE
from ..plan.geometry import Geometry
from ..runtime.tensorflow_v1 import Tensor, tf
from .moments import Moments, ghost_view, is_half


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


class Measured(NamedTuple):
    """What a kernel of training makes of a batch: its moments, then its normalized values.

    Attributes:
      moments: gives the batch's moments, in the shape of the variables, to whatever decides on the
        affine. Each call may build an op that has no gradient.
      normalize: takes an affine of the shape of the variables; returns the outputs, of the shape
        and dtype of the inputs, and the moments that the averages move towards.
    """

    moments: Callable[[], Moments]
    normalize: Callable[[Affine], tuple[Tensor, Moments]]


class Batch(NamedTuple):
    """An input in training, and what its kernel has to know of it.

    Attributes:
      inputs: of the shape `geometry.input_shape`.
      geometry: its axes and shapes.
      epsilon: added to the variance.
      ghost_size: examples in a ghost batch, None without ghost batches.
      filled: a scalar bool tensor, False for an empty batch; None if it can never be empty.
      fallback: the moments of an empty batch, in the shape of the variables.
      sample: whether the averages move towards the sample variance, as with TF 1.15's fused op.
    """

    inputs: Tensor
    geometry: Geometry
    epsilon: Any
    ghost_size: int | None
    filled: Tensor | None
    fallback: Moments
    sample: bool

    def settled(self, moments: Moments) -> Moments:
        """`moments` in the shape of the variables; the fallback's for an empty batch."""
        return moments_or(shaped(moments, self.geometry), self.fallback, self.filled)

    def reported(self, moments: Moments, inverse_count: Any) -> Moments:
        """What the averages move towards, of settled moments with the population's variance."""
        if not self.sample:
            return moments
        factor = sample_factor(inverse_count)
        return self.settled(moments._replace(variance=moments.variance * factor))

    def viewed(self, inputs: Tensor) -> tuple[Tensor, Sequence[int], bool]:
        """`inputs` as ghost batches, if there are any; the axes of a moment; whether to keep them.

        They are kept where the variables have the rank of that view.
        """
        geometry = self.geometry
        if self.ghost_size is None:
            return inputs, geometry.reduction_axes, len(geometry.channel_axes) > 1
        return ghost_view(inputs, self.ghost_size), geometry.ghost_reduction_axes, True

    def unviewed(self, outputs: Tensor) -> Tensor:
        """Outputs of the shape of the view, in the shape of the inputs."""
        if self.ghost_size is None:
            return outputs
        outputs = tf.reshape(outputs, tf.shape(self.inputs), name="Reshape")
        outputs.set_shape(self.inputs.shape)
        return outputs


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
    dtype = tf.float32 if is_half(inputs) else inputs.dtype
    kept = [size for axis, size in enumerate(static) if axis not in reduction_axes]
    if None not in kept:
        values = tf.cast(tf.size(inputs, out_type=tf.int64), dtype)
        return tf.math.divide_no_nan(tf.constant(_product(kept), dtype), values)
    counted = tf.gather(tf.shape(inputs, out_type=tf.int64), list(reduction_axes))
    counted = tf.cast(tf.reduce_prod(counted), dtype)
    return tf.math.divide_no_nan(tf.ones([], dtype), counted)


def _product(sizes: Iterable[int]) -> float:
    product = 1.0
    for size in sizes:
        product *= size
    return product


def sums_by_bias_gradient(shape: Sequence[int | None]) -> bool:
    """Whether the gradient of a bias add is the quicker sum over all axes but the last."""
    *others, channels = shape
    least = ANY_MACHINE.costs.bias_gradient_channels
    return 1 <= len(others) <= 3 and bool(channels and channels >= least)


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


def shaped(pair: Any, geometry: Geometry) -> Any:
    """The values of `pair`, Moments or an Affine, in the shape of the variables."""
    shape = list(geometry.param_shape)
    values = (
        value if value.shape.as_list() == shape else tf.reshape(value, shape, name="shaped")
        for value in pair
    )
    return type(pair)(*values)


def fitted(pair: Any, geometry: Geometry) -> Any:
    """The values of `pair`, Moments or an Affine, reshaped so that they broadcast to the input.

    Args:
      pair: of the shape of the variables; the values of an Affine may be None.
      geometry: of the input.
    """
    return type(pair)(*(broadcastable(value, geometry) for value in pair))


def broadcastable(value: Tensor | None, geometry: Geometry) -> Tensor | None:
    """`value` of the parameters' shape, reshaped where it would not broadcast to the input."""
    if value is None:
        return None
    rank = len(value.shape.as_list())
    if rank == geometry.rank or (rank == 1 and geometry.channels_last):
        return value
    return tf.reshape(value, geometry.broadcast_shape, name="broadcastable")


def add(x: Tensor, y: Tensor, name: str) -> Tensor:
    """x + y, of the op that `+` makes, under a name."""
    # On TF 1.15 `tf.add` is another op than `+`, which takes no name.
    return tf.raw_ops.AddV2(x=x, y=y, name=name)
