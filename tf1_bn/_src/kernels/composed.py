# SPDX-License-Identifier: Apache-2.0
"""Elementary ops on the input as it is."""

from __future__ import annotations

from typing import Any, Sequence

from ..runtime.graph_place import in_function
from ..runtime.tensorflow_v1 import Tensor, scalar, tf
from .batch import Affine, Batch, Measured, add, fitted, inverse_count_of, sums_by_bias_gradient
from .gradients import COLUMNS, NORMALIZE, Forward
from .moments import Moments, mean_over_ghosts

# TensorFlow's error about an op that has no gradient says the op's name.
_OP_NAME = "import_tf1_bn_for_the_gradient"


def measure_composed(batch: Batch) -> Measured:
    """By elementary ops, with a gradient by hand; arithmetic in the dtype of the variables.

    Normalized values of an empty batch are empty, and its moments are the fallback's.
    """
    inputs, geometry, ghosts = batch.inputs, batch.geometry, batch.ghost_size is not None
    dtype = geometry.param_dtype
    seen, axes, keep_dims = batch.viewed(
        inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
    )
    inverse_count = inverse_count_of(seen, axes)
    keep_dims = keep_dims or not geometry.channels_last
    centered, own = centered_moments(seen, axes, inverse_count, keep_dims)
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


def measure_given(batch: Batch, seen: Tensor, given: Moments) -> Measured:
    """By elementary ops, with moments from elsewhere, through which gradients flow.

    Args:
      batch: what is normalized.
      seen: the view of it that they were made for.
      given: of the shape of the variables, or for each ghost batch, broadcasting to `seen`.
    """
    ghosts = batch.ghost_size is not None
    moments = batch.settled(mean_over_ghosts(given) if ghosts else given)

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        own = given if ghosts else fitted(moments, batch.geometry)
        affine = affine if ghosts else fitted(affine, batch.geometry)
        outputs = composed_batch_norm(seen, own, affine, batch.epsilon, batch.inputs.dtype)
        return batch.unviewed(outputs), moments

    return Measured(lambda: moments, normalize)


def composed_batch_norm(
    inputs: Tensor, moments: Moments, affine: Affine, epsilon: Any, output_dtype: Any
) -> Tensor:
    """(inputs - mean) / sqrt(variance + epsilon) * scale + offset, named `batchnorm/add_1`.

    Moments and affine broadcast to the inputs. All arithmetic is in the moments' dtype, so half
    precision is rounded once, at the end.
    """
    dtype = moments.mean.dtype
    with tf.name_scope("batchnorm"):
        wide = inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
        _, factor = factor_of(moments.variance, affine, epsilon)
        shift = moments.mean * factor
        shift = -shift if affine.offset is None else affine.offset - shift
        if output_dtype == dtype:
            return add(wide * factor, shift, "add_1")
        outputs = add(wide * factor, shift, "wide_sum")
        return tf.cast(outputs, output_dtype, name="add_1")


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
        return tf.raw_ops.IdentityN(input=parts, name=_OP_NAME)[0]
