# SPDX-License-Identifier: Apache-2.0
"""The gradient of batch normalization by hand: fewer passes than automatic differentiation.

Registered under a name once, when this file is imported, and made of differentiable ops, so that
derivatives of any order are right and no graph is kept alive, as `tf.custom_gradient` would.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._compat import Operation, Tensor, register_gradient, tf
from .affine import Affine
from .moments import Moments, sum_like

# A graph read back elsewhere can be differentiated once this file is imported: the names say so.
_NORMALIZE = "tf1_bn.gradient.normalize"
_MOMENTS = "tf1_bn.gradient.moments"
_OP = "tf1_bn.gradient.op"


class Seen(NamedTuple):
    """What the gradient needs of the forward pass; all but the first must be differentiable.

    Attributes:
      inputs: what was normalized.
      centered: the inputs less their mean, if that exists.
      mean: their mean, where `centered` does not.
      inverse_stddev: 1 / sqrt(variance + epsilon), of the shape of the mean.
      factor: inverse_stddev * scale.
      inverse_count: 1 / the number of values in each mean.
    """

    inputs: Tensor
    centered: Tensor | None
    mean: Tensor | None
    inverse_stddev: Tensor
    factor: Tensor
    inverse_count: Any


def with_gradient(outputs: Tensor, seen: Seen, affine: Affine, name: str) -> Tensor:
    """`outputs`, named, with the gradient of batch-normalizing `seen.inputs`.

    The gradients through mean and variance are part of it.
    """
    count = tf.convert_to_tensor(seen.inverse_count, seen.inverse_stddev.dtype)
    parts = [outputs, *seen._replace(inverse_count=count), *affine]
    # A scalar stands for an absent one.
    parts = [count if part is None else part for part in parts]
    with tf.get_default_graph().gradient_override_map({"IdentityN": _NORMALIZE}):
        return tf.raw_ops.IdentityN(input=parts, name=name)[0]


def differentiable_moments(moments: Moments, inputs: Tensor, inverse_count: Any) -> Moments:
    """The moments of the fused op, which has no gradient for them, with their gradient."""
    count = tf.convert_to_tensor(inverse_count, moments.mean.dtype)
    with tf.get_default_graph().gradient_override_map({"IdentityN": _MOMENTS}):
        return Moments(*tf.raw_ops.IdentityN(input=[*moments, inputs, count])[:2])


def with_gradient_of_op(outputs: Tensor, rows: Tensor, affine: Affine, training: Any) -> Tensor:
    """`outputs`, which the fused op made of `rows`, with its gradient as if by `training`.

    `training` is the fused op over the same rows in training, with any affine.
    """
    reserved = [training.reserve_space_1, training.reserve_space_2, training.reserve_space_3]
    with tf.get_default_graph().gradient_override_map({"IdentityN": _OP}):
        return tf.raw_ops.IdentityN(input=[outputs, rows, *affine, *reserved])[0]


@register_gradient(_NORMALIZE)
def _normalize_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    """factor * (upstream - mean(upstream) - x_hat * mean(upstream * x_hat)), x_hat written out."""
    upstream = gradients[0]
    _, inputs, centered, mean, inverse_stddev, factor, inverse_count, scale, offset = op.inputs
    total = sum_like(upstream, inverse_stddev, inputs)
    if is_absent(centered):
        # Elementwise passes are what it costs: not centering saves one, for large inputs.
        along = sum_like(upstream * inputs, inverse_stddev, inputs) - mean * total
    else:
        along = sum_like(upstream * centered, inverse_stddev, inputs)
    d_scale = along * inverse_stddev
    slope = d_scale * inverse_stddev * inverse_count
    if is_absent(centered):
        shift = (mean * slope - total * inverse_count) * factor
        d_inputs = (upstream - inputs * slope) * factor + shift
    else:
        d_inputs = (upstream - centered * slope - total * inverse_count) * factor
    return [
        None,
        d_inputs,
        *([None] * 5),
        None if is_absent(scale) else sum_like(d_scale, scale, inverse_stddev),
        None if is_absent(offset) else sum_like(total, offset, inverse_stddev),
    ]


def is_absent(part: Tensor) -> bool:
    """Whether a scalar stands here for a scale or offset that there is none of."""
    return bool(part.shape.ndims == 0)


@register_gradient(_MOMENTS)
def _moments_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    d_mean, d_variance = gradients[:2]
    mean, _, inputs, inverse_count = op.inputs
    d_inputs = (d_mean + 2.0 * d_variance * (inputs - mean)) * inverse_count
    return [None, None, d_inputs, None]


@register_gradient(_OP)
def _gradient_of_op(op: Operation, *gradients: Tensor) -> list[Any]:
    outputs, rows, scale, _, *reserved = op.inputs
    found = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=gradients[0],
        x=rows,
        scale=scale,
        reserve_space_1=reserved[0],
        reserve_space_2=reserved[1],
        reserve_space_3=reserved[2],
        epsilon=outputs.op.get_attr("epsilon"),
    )
    return [None, found.x_backprop, found.scale_backprop, found.offset_backprop, None, None, None]
