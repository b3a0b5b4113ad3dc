# SPDX-License-Identifier: Apache-2.0
"""Gradients that graphs of earlier versions name; nothing made today needs them."""

from __future__ import annotations

from typing import Any

from ..runtime.tensorflow_v1 import Operation, Tensor, register_gradient, tf
from .composed import is_absent
from .moments import sum_like

_MOMENTS = "tf1_bn.gradient.moments"
_OP = "tf1_bn.gradient.op"
_COLUMNS = "tf1_bn.column_kernels.normalize"


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


@register_gradient(_COLUMNS)
def _columns_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
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
    total = sum_like(total_of_column, inverse_stddev, mean)
    from_mean = along_column * column_stddev + (mean - merged_mean) * total_of_column
    d_scale = sum_like(from_mean, inverse_stddev, mean) * inverse_stddev
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
        None if is_absent(scale) else d_scale,
        None if is_absent(offset) else total,
        *([None] * 3),
    ]
