# SPDX-License-Identifier: Apache-2.0
"""A batch in training, in the shapes it comes in, and what normalizes it by elementary ops."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from ..plan.geometry import Geometry
from ..plan.kernel_choice import sums_by_bias_gradient
from ..runtime.graph_place import in_function
from ..runtime.tensorflow_v1 import Tensor, scalar, tf
from .gradients import COLUMNS, NORMALIZE, Forward
from .moments import Affine, Moments, ghost_view, is_half, mean_over_ghosts, sample_factor


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
        count = float(np.prod(reduced, dtype=float))
        return 1.0 / count if count else 0.0
    dtype = tf.float32 if is_half(inputs) else inputs.dtype
    kept = [size for axis, size in enumerate(static) if axis not in reduction_axes]
    if None not in kept:
        values = tf.cast(tf.size(inputs, out_type=tf.int64), dtype)
        return tf.math.divide_no_nan(tf.constant(np.prod(kept, dtype=float), dtype), values)
    counted = tf.gather(tf.shape(inputs, out_type=tf.int64), list(reduction_axes))
    counted = tf.cast(tf.reduce_prod(counted), dtype)
    return tf.math.divide_no_nan(tf.ones([], dtype), counted)


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

    def broadcastable(value: Tensor | None) -> Tensor | None:
        rank = 0 if value is None else len(value.shape.as_list())
        if value is None or rank == geometry.rank or (rank == 1 and geometry.channels_last):
            return value
        return tf.reshape(value, geometry.broadcast_shape, name="broadcastable")

    return type(pair)(*map(broadcastable, pair))


def add(x: Tensor, y: Tensor, name: str) -> Tensor:
    """x + y, of the op that `+` makes, under a name."""
    # On TF 1.15 `tf.add` is another op than `+`, which takes no name.
    return tf.raw_ops.AddV2(x=x, y=y, name=name)


def measure_composed(batch: Batch) -> Measured:
    """By elementary ops, with a gradient by hand; arithmetic in the dtype of the variables.

    Normalized values of an empty batch are empty, and its moments are the fallback's.
    """
    inputs, geometry, ghosts = batch.inputs, batch.geometry, batch.ghost_size is not None
    dtype = geometry.param_dtype
    wide = inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
    seen, axes, keep = batch.viewed(wide)
    inverse_count = inverse_count_of(seen, axes)
    centered, own = centered_moments(seen, axes, inverse_count, keep or not geometry.channels_last)
    moments = batch.settled(mean_over_ghosts(own) if ghosts else own)
    # The variance of an empty batch is NaN, and so would be the gradient of gamma.
    in_use = own if ghosts or batch.filled is None else fitted(moments, geometry)

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        affine = affine if ghosts else fitted(affine, geometry)
        with tf.name_scope("batchnorm"):
            inverse_stddev, factor = factor_of(in_use.variance, affine, batch.epsilon)
            outputs = centered * factor
            if affine.offset is not None:
                outputs = add(outputs, affine.offset, "sum")
            forward = Forward(seen, centered, None, inverse_stddev, factor, inverse_count)
            outputs = with_gradient(outputs, forward, affine)
            if inputs.dtype == dtype:
                outputs = tf.identity(outputs, name="add_1")
            else:
                outputs = tf.cast(outputs, inputs.dtype, name="add_1")
        return batch.unviewed(outputs), batch.reported(moments, inverse_count)

    return Measured(lambda: moments, normalize)


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
        if not keep_dims and sums_by_bias_gradient(values.shape.as_list()):
            total = tf.raw_ops.BiasAddGrad(out_backprop=values)
            return tf.multiply(total, inverse_count, name=name)
        return tf.reduce_mean(values, list(reduction_axes), keepdims=keep_dims, name=name)

    with tf.name_scope("moments"):
        mean = mean_of(inputs, "mean")
        centered = inputs - mean
        return centered, Moments(mean, mean_of(tf.square(centered), "variance"))


def factor_of(variance: Tensor, affine: Affine, epsilon: Any) -> tuple[Tensor, Tensor]:
    """1 / sqrt(variance + epsilon), and that times the scale; both of the variance's dtype."""
    inverse_stddev = tf.rsqrt(variance + scalar(epsilon, variance.dtype))
    if affine.scale is None:
        return inverse_stddev, inverse_stddev
    return inverse_stddev, inverse_stddev * affine.scale


def with_gradient(
    outputs: Tensor, forward: Forward, affine: Affine, columns: Tensor | None = None
) -> Tensor:
    """`outputs`, with the gradient of batch-normalizing `forward.inputs` where `tf.gradients` asks.

    The gradients through mean and variance are part of it. In the body of a function, which may be
    saved and loaded elsewhere, the outputs are returned as they are.

    Args:
      outputs: what was made of `forward` and `affine` by ops that are differentiable themselves.
      forward: statistics that broadcast to the inputs or, with `columns`, to that.
      affine: of the shape of the statistics; either may be None.
      columns: `forward.factor` for each column, where the inputs are `[rows, columns]` and several
        columns belong to each value of the statistics.
    """
    if in_function():
        return outputs
    count = tf.convert_to_tensor(forward.inverse_count, forward.inverse_stddev.dtype.base_dtype)
    parts = [outputs, *forward._replace(inverse_count=count), *affine]
    if columns is not None:
        parts.append(columns)
    # IdentityN takes no None: a scalar is put in place of a missing part.
    parts = [count if part is None else part for part in parts]
    name = NORMALIZE if columns is None else COLUMNS
    with tf.get_default_graph().gradient_override_map({"IdentityN": name}):
        # TensorFlow's error about an op that has no gradient says the op's name.
        return tf.raw_ops.IdentityN(input=parts, name="import_tf1_bn_for_the_gradient")[0]
