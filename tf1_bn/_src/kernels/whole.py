# SPDX-License-Identifier: Apache-2.0
"""The normalizing kernels: the fused op, and its composition from elementary ops."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..plan.geometry import Geometry
from ..plan.kernel_choice import Tf1Fused
from ..runtime.tensorflow_v1 import Tensor, scalar, tf
from .affine import Affine
from .gradient import Seen, with_gradient
from .moments import Moments


class FusedResult(NamedTuple):
    """What a fused kernel gives in training.

    The variance of TF 1.15's fused kernel is the sample variance, N / (N - 1) of the population's.
    """

    outputs: Any
    moments: Moments


class Centered(NamedTuple):
    """A batch less its own mean, as the composed kernel of training takes it.

    Attributes:
      inputs: the batch, in the dtype of the arithmetic.
      centered: the batch less its mean.
      variance: broadcasting to it.
      inverse_count: 1 / the number of values in each moment.
    """

    inputs: Tensor
    centered: Tensor
    variance: Tensor
    inverse_count: Any


def centered_batch_norm(batch: Centered, affine: Affine, epsilon: Any, output_dtype: Any) -> Tensor:
    """centered / sqrt(variance + epsilon) * scale + offset, with its gradient by hand.

    Named `batchnorm/add_1`. Half precision is rounded once, at the end.
    """
    dtype = batch.centered.dtype
    with tf.name_scope("batchnorm"):
        inverse_stddev, factor = factor_of(batch.variance, affine, epsilon)
        outputs = batch.centered * factor
        if affine.offset is not None:
            outputs = _add(outputs, affine.offset, "sum")
        seen = Seen(batch.inputs, batch.centered, None, inverse_stddev, factor, batch.inverse_count)
        outputs = with_gradient(outputs, seen, affine)
        if output_dtype == dtype:
            return tf.identity(outputs, name="add_1")
        return tf.cast(outputs, output_dtype, name="add_1")


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
            return _add(wide * factor, shift, "add_1")
        outputs = _add(wide * factor, shift, "wide_sum")
        return tf.cast(outputs, output_dtype, name="add_1")


def factor_of(variance: Tensor, affine: Affine, epsilon: Any) -> tuple[Tensor, Tensor]:
    inverse_stddev = tf.rsqrt(variance + scalar(epsilon, variance.dtype))
    if affine.scale is None:
        return inverse_stddev, inverse_stddev
    return inverse_stddev, inverse_stddev * affine.scale


def affine_of(outputs: Tensor, affine: Affine) -> Tensor:
    """outputs * scale + offset, named `batchnorm/add_1`; arithmetic in the dtype of the affine."""
    dtype = outputs.dtype
    with tf.name_scope("batchnorm"):
        wide = outputs
        if affine.scale is not None:
            wide = tf.cast(wide, affine.scale.dtype) * affine.scale
        if affine.offset is not None:
            wide = tf.cast(wide, affine.offset.dtype)
            wide = _add(wide, affine.offset, "add_1" if wide.dtype == dtype else "wide_sum")
        return wide if wide.dtype == dtype else tf.cast(wide, dtype, name="add_1")


def _add(x: Tensor, y: Tensor, name: str) -> Tensor:
    # On TF 1.15 `tf.add` is another op than `+`, which takes no name.
    return tf.raw_ops.AddV2(x=x, y=y, name=name)


def fused_training(
    inputs: Tensor, affine: Affine, epsilon: Any, geometry: Geometry, way: Tf1Fused
) -> FusedResult:
    """TF 1.15's fused kernel: normalizes with the batch's moments in one op and returns both."""
    outputs, moments = _tf1_fused(
        inputs, affine, no_moments(), epsilon, geometry, way, is_training=True
    )
    return FusedResult(outputs, moments)


def fused_inference(
    inputs: Tensor,
    moments: Moments,
    affine: Affine,
    epsilon: Any,
    geometry: Geometry,
    way: Tf1Fused,
) -> Tensor:
    """TF 1.15's fused kernel with given moments."""
    return _tf1_fused(inputs, affine, moments, epsilon, geometry, way, is_training=False)[0]


def _tf1_fused(
    inputs: Tensor,
    affine: Affine,
    moments: Moments,
    epsilon: Any,
    geometry: Geometry,
    way: Tf1Fused,
    is_training: bool,
) -> tuple[Tensor, Moments]:
    name = "FusedBatchNormV3"
    result = fused_op(
        _to_nhwc(inputs) if way.transposed else inputs,
        complete(affine, geometry.param_shape[0]),
        moments,
        epsilon,
        is_training,
        way.data_format,
        f"nhwc/{name}" if way.transposed else name,
    )
    outputs = _to_nchw(result.y, name) if way.transposed else result.y
    return outputs, Moments(result.batch_mean, result.batch_variance)


def fused_op(
    rows: Tensor,
    affine: Affine,
    moments: Moments,
    epsilon: float,
    is_training: bool = True,
    data_format: str = "NHWC",
    name: str = "FusedBatchNormV3",
) -> Any:
    return tf.raw_ops.FusedBatchNormV3(
        x=rows,
        scale=affine.scale,
        offset=affine.offset,
        mean=moments.mean,
        variance=moments.variance,
        epsilon=float(epsilon),
        data_format=data_format,
        is_training=is_training,
        name=name,
    )


def complete(affine: Affine, channels: int) -> Affine:
    return Affine(
        tf.ones([channels]) if affine.scale is None else affine.scale,
        tf.zeros([channels]) if affine.offset is None else affine.offset,
    )


def no_moments() -> Moments:
    empty = tf.constant([], tf.float32)
    return Moments(empty, empty)


def _to_nhwc(inputs: Tensor) -> Tensor:
    return tf.transpose(inputs, [0, 2, 3, 1], name="to_nhwc")


def _to_nchw(outputs: Tensor, name: str) -> Tensor:
    return tf.transpose(outputs, [0, 3, 1, 2], name=name)
