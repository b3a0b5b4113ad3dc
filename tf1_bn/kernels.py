# SPDX-License-Identifier: Apache-2.0
"""The two normalizing kernels: the fused op and its composition from elementary ops."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._compat import Tensor, scalar, tf
from .affine import Affine
from .geometry import Geometry
from .kernel_choice import KernelChoice
from .moments import Moments

# TF1 raises smaller epsilons to this for the fused op, as cuDNN demands; newer TF does not.
FUSED_MIN_EPSILON = 1.001e-5


class FusedResult(NamedTuple):
    """What the fused op gives in training: its variance is the sample variance, N / (N - 1)."""

    outputs: Tensor
    moments: Moments


def unfused_batch_norm(
    inputs: Tensor, moments: Moments, affine: Affine, epsilon: Any, output_dtype: Any
) -> Tensor:
    """(inputs - mean) / sqrt(variance + epsilon) * scale + offset, named `batchnorm/add_1`.

    Moments and affine broadcast to the inputs. All arithmetic is in the moments' dtype, so half
    precision is rounded once, at the end.
    """
    dtype = moments.mean.dtype
    with tf.name_scope("batchnorm"):
        factor = tf.rsqrt(moments.variance + scalar(epsilon, dtype))
        if affine.scale is not None:
            factor = factor * affine.scale
        shift = moments.mean * factor
        shift = -shift if affine.offset is None else affine.offset - shift
        if inputs.dtype == dtype and output_dtype == dtype:
            return _add(inputs * factor, shift, "add_1")
        outputs = _add(tf.cast(inputs, dtype) * factor, shift, "wide_sum")
        return tf.cast(outputs, output_dtype, name="add_1")


def _add(x: Tensor, y: Tensor, name: str) -> Tensor:
    # On TF 1.15 `tf.add` is another op than `+`, which takes no name.
    return tf.raw_ops.AddV2(x=x, y=y, name=name)


def fused_training(
    inputs: Tensor, affine: Affine, epsilon: Any, geometry: Geometry, choice: KernelChoice
) -> FusedResult:
    """Normalizes with the batch's moments in one op and returns both."""
    empty = tf.constant([], tf.float32)
    outputs, mean, variance = _fused_op(
        inputs, affine, Moments(empty, empty), epsilon, geometry, choice, is_training=True
    )
    return FusedResult(outputs, Moments(mean, variance))


def fused_inference(
    inputs: Tensor,
    moments: Moments,
    affine: Affine,
    epsilon: Any,
    geometry: Geometry,
    choice: KernelChoice,
) -> Tensor:
    """Normalizes with the given moments in one op."""
    return _fused_op(inputs, affine, moments, epsilon, geometry, choice, is_training=False)[0]


def _fused_op(
    inputs: Tensor,
    affine: Affine,
    moments: Moments,
    epsilon: Any,
    geometry: Geometry,
    choice: KernelChoice,
    is_training: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    channels = geometry.param_shape
    name = "FusedBatchNormV3"
    result = tf.raw_ops.FusedBatchNormV3(
        x=_to_nhwc(inputs) if choice.transposed else inputs,
        scale=tf.ones(channels) if affine.scale is None else affine.scale,
        offset=tf.zeros(channels) if affine.offset is None else affine.offset,
        mean=moments.mean,
        variance=moments.variance,
        epsilon=max(float(epsilon), FUSED_MIN_EPSILON),
        data_format=choice.data_format,
        is_training=is_training,
        name=f"nhwc/{name}" if choice.transposed else name,
    )
    outputs = _to_nchw(result.y, name) if choice.transposed else result.y
    return outputs, result.batch_mean, result.batch_variance


def _to_nhwc(inputs: Tensor) -> Tensor:
    return tf.transpose(inputs, [0, 2, 3, 1], name="to_nhwc")


def _to_nchw(outputs: Tensor, name: str) -> Tensor:
    return tf.transpose(outputs, [0, 3, 1, 2], name=name)
