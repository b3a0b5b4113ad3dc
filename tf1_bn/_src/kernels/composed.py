# SPDX-License-Identifier: Apache-2.0
"""Elementary ops on the input as it is."""

from __future__ import annotations

from typing import Any

from ..runtime.tensorflow_v1 import Tensor, scalar, tf
from .batch import Affine, Batch, Measured, fitted
from .gradient import Seen, with_gradient
from .moments import Moments, centered_moments, inverse_count_of, mean_over_ghosts


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
            forward = Seen(seen, centered, None, inverse_stddev, factor, inverse_count)
            outputs = with_gradient(outputs, forward, affine)
            if inputs.dtype == dtype:
                outputs = tf.identity(outputs, name="add_1")
            else:
                outputs = tf.cast(outputs, inputs.dtype, name="add_1")
        return batch.unviewed(outputs), batch.reported(moments, inverse_count)

    return Measured(lambda: moments, normalize)


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
