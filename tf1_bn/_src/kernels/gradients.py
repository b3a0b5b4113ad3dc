# SPDX-License-Identifier: Apache-2.0
"""Gradients by hand, registered under the names that graphs carry, old ones included.

That of the elementary kernels takes fewer passes than automatic differentiation does. It is a short
cut and no more: the ops behind it have the same gradient by themselves, for whoever looks past it,
such as a `tf.GradientTape`, which reads no gradient but that of an op's type. It is registered when
this file is imported, once, and made of differentiable ops, so derivatives of any order are right
and no graph is kept alive, as `tf.custom_gradient` would.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from ..plan.kernel_choice import sums_by_bias_gradient
from ..runtime.tensorflow_v1 import Operation, Tensor, register_gradient, tf
from .row_view import over_columns, sum_of_columns

# Part of every graph that was ever exported, so they stay as they are.
NORMALIZE = "tf1_bn.gradient.normalize"
COLUMNS = "tf1_bn.gradient.columns"
# Graphs of earlier versions name these; nothing made today needs them.
_OLD_MOMENTS = "tf1_bn.gradient.moments"
_OLD_OP = "tf1_bn.gradient.op"
_OLD_COLUMNS = "tf1_bn.column_kernels.normalize"

Sums = Callable[[Tensor], Tensor]


class Forward(NamedTuple):
    """What the gradient needs of the forward pass; all must be differentiable.

    Attributes:
      inputs: what was normalized.
      centered: the inputs less their mean, if that is kept.
      mean: their mean, where `centered` is not.
      inverse_stddev: 1 / sqrt(variance + epsilon), of the shape of the mean.
      factor: inverse_stddev * scale.
      inverse_count: 1 / the number of values in each mean, in the dtype of the mean.
    """

    inputs: Tensor
    centered: Tensor | None
    mean: Tensor | None
    inverse_stddev: Tensor
    factor: Tensor
    inverse_count: Any


@register_gradient(NORMALIZE)
def _normalize_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    _, *parts, scale, offset = op.inputs
    forward = Forward(*parts)

    def sums(values: Tensor) -> Tensor:
        return _sum_like(values, forward.inverse_stddev, forward.inputs)

    found = _backward(gradients[0], forward, sums, lambda value: value)
    return _for_inputs(found, forward, scale, offset)


@register_gradient(COLUMNS)
def _columns_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    _, *parts, scale, offset, columns = op.inputs
    forward = Forward(*parts)

    sizes, spread = columns.shape.as_list(), forward.inverse_stddev.shape.as_list()

    def sums(values: Tensor) -> Tensor:
        return sum_of_columns(values, sizes, spread)

    found = _backward(gradients[0], forward, sums, lambda value: over_columns(value, sizes))
    return [*_for_inputs(found, forward, scale, offset), None]


def _backward(
    upstream: Tensor, forward: Forward, sums: Sums, over: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """factor * (upstream - mean(upstream) - x_hat * mean(upstream * x_hat)), x_hat written out.

    Args:
      upstream: the gradient of the outputs.
      forward: of the forward pass.
      sums: takes the sum over a batch, of the shape of the statistics.
      over: makes of such a value one that broadcasts to the inputs.

    Returns:
      The gradients of inputs, scale and offset, the latter of the shape of the statistics.
    """
    inputs, centered, mean, inverse_stddev, factor, inverse_count = forward
    total = sums(upstream)
    if _is_absent(centered):
        # Elementwise passes are what it costs: not centering saves one, for large inputs.
        along = sums(upstream * inputs) - mean * total
    else:
        along = sums(upstream * centered)
    d_scale = along * inverse_stddev
    slope = d_scale * inverse_stddev * inverse_count
    if _is_absent(centered):
        shift = (mean * slope - total * inverse_count) * factor
        d_inputs = (upstream - inputs * over(slope)) * over(factor) + over(shift)
    else:
        inner = centered * over(slope) + over(total * inverse_count)
        d_inputs = (upstream - inner) * over(factor)
    return d_inputs, d_scale, total


def _for_inputs(
    found: tuple[Tensor, Tensor, Tensor], forward: Forward, scale: Tensor, offset: Tensor
) -> list[Any]:
    """The gradients in the order of the op's inputs; None for those that only explain others."""
    d_inputs, d_scale, total = found
    return [
        None,
        d_inputs,
        *([None] * 5),
        None if _is_absent(scale) else _sum_like(d_scale, scale, forward.inverse_stddev),
        None if _is_absent(offset) else _sum_like(total, offset, forward.inverse_stddev),
    ]


def _is_absent(part: Tensor) -> bool:
    """Whether a scalar stands here for what there is none of."""
    return bool(part.shape.ndims == 0)


def _sum_like(values: Tensor, statistic: Tensor, seen: Tensor) -> Tensor:
    """`values`, of the shape of `seen`, summed to the shape of `statistic`, which broadcasts to it.

    Control flow v2 of TF 1.15 loses the shapes of what a gradient computes and of variables that a
    branch reads, so `values` is not asked for one, and unknown ones are found when the graph runs.
    """
    if seen.shape.ndims is None or statistic.shape.ndims is None:
        goal = tf.shape(statistic)
        axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(seen), s1=goal).r1
        return tf.reshape(tf.reduce_sum(values, axes), goal)
    shape, kept = seen.shape.as_list(), statistic.shape.as_list()
    if len(kept) == len(shape):
        axes = [axis for axis, size in enumerate(kept) if size == 1 and shape[axis] != 1]
        return tf.reduce_sum(values, axes, keepdims=True) if axes else values
    if sums_by_bias_gradient(shape):
        return tf.raw_ops.BiasAddGrad(out_backprop=values)
    return tf.reduce_sum(values, list(range(len(shape) - 1)))


# -- of earlier versions -------------------------------------------------------------------------


@register_gradient(_OLD_MOMENTS)
def _old_moments_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    d_mean, d_variance = gradients[:2]
    mean, _, inputs, inverse_count = op.inputs
    d_inputs = (d_mean + 2.0 * d_variance * (inputs - mean)) * inverse_count
    return [None, None, d_inputs, None]


@register_gradient(_OLD_OP)
def _old_gradient_of_op(op: Operation, *gradients: Tensor) -> list[Any]:
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


@register_gradient(_OLD_COLUMNS)
def _old_columns_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    """factor * (upstream - mean(upstream) - x_hat * mean(upstream * x_hat)), by the op's gradient.

    That has taken the means over each column; the difference is linear in the column's inputs.
    """
    _, rows, mean, variance, merged_mean, inverse_stddev, factor, inverse_rows = op.inputs[:8]
    scale, offset, *reserved = op.inputs[8:]
    epsilon = reserved[0].op.get_attr("epsilon")
    column_stddev = tf.sqrt(variance + epsilon)
    found = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=gradients[0],
        x=rows,
        scale=tf.reshape(factor * column_stddev, [-1]),
        reserve_space_1=reserved[0],
        reserve_space_2=reserved[1],
        reserve_space_3=reserved[2],
        epsilon=epsilon,
    )
    columns = tf.shape(mean)
    along_column = tf.reshape(found.scale_backprop, columns)
    total_of_column = tf.reshape(found.offset_backprop, columns)
    total = _sum_like(total_of_column, inverse_stddev, mean)
    from_mean = along_column * column_stddev + (mean - merged_mean) * total_of_column
    d_scale = _sum_like(from_mean, inverse_stddev, mean) * inverse_stddev
    share = tf.cast(tf.size(merged_mean), mean.dtype) / tf.cast(tf.size(mean), mean.dtype)
    inverse_count = inverse_rows * share
    # Per unit of the input: what the column's own mean took away, less what the channel's takes.
    taken = along_column / column_stddev * inverse_rows
    takes = d_scale * inverse_stddev * inverse_count
    slope = (taken - takes) * factor
    shift = (total_of_column * inverse_rows - total * inverse_count) * factor
    shift += (merged_mean * takes - mean * taken) * factor
    d_rows = found.x_backprop + (rows * tf.reshape(slope, [-1]) + tf.reshape(shift, [-1]))
    return [
        None,
        d_rows,
        *([None] * 6),
        None if _is_absent(scale) else d_scale,
        None if _is_absent(offset) else total,
        *([None] * 3),
    ]
