# SPDX-License-Identifier: Apache-2.0
"""A batch, its moments and its affine: what kernels take, and the two steps of training."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from ..plan.geometry import Geometry
from ..runtime.tensorflow_v1 import Tensor, tf
from .moments import Moments, ghost_view, moments_or


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


def split(
    adjustment: Affine | None, learned: Affine, geometry: Geometry
) -> tuple[Affine, Affine | None]:
    """What the kernel multiplies and adds for each channel, and what comes after it.

    Args:
      adjustment: what comes first, broadcasting to the input; None without one. It cannot be part
        of the kernel unless it is one number for each channel.
      learned: what follows it, of the shape of the variables.
      geometry: of the input.
    """
    if adjustment is None:
        return learned, None
    per_channel = [list(geometry.broadcast_shape)]
    if geometry.channels_last:
        per_channel.append(list(geometry.param_shape))
    shapes = [value.shape for value in adjustment if value is not None]
    if all(shape.ndims is not None and shape.as_list() in per_channel for shape in shapes):
        return learned.after(*shaped(adjustment, geometry)), None
    return Affine(None, None), fitted(learned, geometry).after(*adjustment)


def apply_affine(outputs: Tensor, affine: Affine) -> Tensor:
    """outputs * scale + offset, named `batchnorm/add_1`; arithmetic in the dtype of the affine."""
    dtype = outputs.dtype
    with tf.name_scope("batchnorm"):
        wide = outputs
        if affine.scale is not None:
            wide = tf.cast(wide, affine.scale.dtype) * affine.scale
        if affine.offset is not None:
            wide = tf.cast(wide, affine.offset.dtype)
            wide = add(wide, affine.offset, "add_1" if wide.dtype == dtype else "wide_sum")
        return wide if wide.dtype == dtype else tf.cast(wide, dtype, name="add_1")


def add(x: Tensor, y: Tensor, name: str) -> Tensor:
    """x + y, of the op that `+` makes, under a name."""
    # On TF 1.15 `tf.add` is another op than `+`, which takes no name.
    return tf.raw_ops.AddV2(x=x, y=y, name=name)
