# SPDX-License-Identifier: Apache-2.0
"""The fused op on rows of columns, several of which belong to each channel.

The op takes moments of contiguous columns alone, and is quick only for some numbers of them. It is
given every value of a row as a column of its own, or several rows side by side; the moments of the
columns of a channel are then merged, and what one scale and offset for each column leaves to do is
one pass over the output, and one over the gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._compat import Operation, Tensor, register_gradient, tf
from .affine import Affine
from .folded_kernels import FoldedBatch, over_columns
from .folding_plan import Fold
from .gradient import differentiable_moments, is_absent
from .kernels import complete, factor_of, fused_op, no_moments
from .moments import Moments, inverse_count_of, moments_or, sum_like

# As in gradient.py: one function for all graphs, under the name of the file to import.
_COLUMNS = "tf1_bn.column_kernels.normalize"


class ColumnPass(NamedTuple):
    """The fused op over columns in training.

    Attributes:
      rows: the input, of rank 4, the columns last.
      op: the op.
      own: the moments of each column, of the shape of the columns.
      merged: those of each channel, which broadcast to it.
      inverse_rows: 1 / the number of rows.
    """

    rows: Tensor
    op: Any
    own: Moments
    merged: Moments
    inverse_rows: Any


def column_statistics(batch: FoldedBatch) -> tuple[ColumnPass, Moments]:
    """What `column_normalization` takes, and the moments, `[channels]` each."""
    fold, rows = batch.fold, batch.folded.rows[0]
    with tf.name_scope("fold"):
        inverse_rows = inverse_count_of(rows, (0, 1, 2))
        count = rows.shape.as_list()[-1]
        op = fused_op(rows, complete(Affine(None, None), count), no_moments(), batch.epsilon)
        # The op gives the sample variance.
        own = Moments(op.batch_mean, op.batch_variance * (1.0 - inverse_rows))
        if batch.filled is not None:
            fallback = Moments(*(over_columns(value, fold) for value in batch.fallback))
            own = moments_or(own, fallback, batch.filled)
        own = differentiable_moments(own, rows, inverse_rows)
        own = Moments(*(tf.reshape(value, fold.columns) for value in own))
        merged = _merged(own, fold)
        seen = ColumnPass(rows, op, own, merged, inverse_rows)
        return seen, Moments(*(tf.reshape(value, [-1]) for value in merged))


def column_normalization(batch: FoldedBatch, seen: ColumnPass, affine: Affine) -> Tensor:
    """The normalized batch, in the shape of the input; scale and offset are `[channels]` or None.

    The op has made each column's mean 0 and its deviation 1: what is left is one scale and one
    offset for each column.
    """
    fold, (own, merged) = batch.fold, (seen.own, seen.merged)
    with tf.name_scope("fold"):
        scale, offset = (
            value if value is None else tf.reshape(value, fold.spread) for value in affine
        )
        inverse_stddev, factor = factor_of(merged.variance, Affine(scale, None), batch.epsilon)
        shift = (own.mean - merged.mean) * factor
        shift = shift if offset is None else shift + offset
        slope = factor * tf.sqrt(own.variance + batch.epsilon)
        normalized = _each_column(seen.op.y, slope, shift)
        parts = [normalized, seen.rows, *own, merged.mean, inverse_stddev, factor]
        count = tf.convert_to_tensor(seen.inverse_rows, own.mean.dtype)
        # A scalar stands for an absent one.
        parts += [count, *(count if value is None else value for value in (scale, offset))]
        parts += [seen.op.reserve_space_1, seen.op.reserve_space_2, seen.op.reserve_space_3]
        with tf.get_default_graph().gradient_override_map({"IdentityN": _COLUMNS}):
            normalized = tf.raw_ops.IdentityN(input=parts, name="normalized")[0]
    with tf.name_scope("batchnorm"):
        return batch.folded.unfold([normalized], "add_1")


def _merged(own: Moments, fold: Fold) -> Moments:
    """The moments of each channel, all of whose columns have as many values."""
    axes = [axis for axis, size in enumerate(fold.spread) if size != fold.columns[axis]]
    mean = tf.reduce_mean(own.mean, axes, keepdims=True)
    apart = tf.square(own.mean - mean)
    return Moments(mean, tf.reduce_mean(own.variance + apart, axes, keepdims=True))


def _each_column(rows: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    return rows * tf.reshape(slope, [-1]) + tf.reshape(shift, [-1])


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
    d_rows = found.x_backprop + _each_column(rows, slope, shift)
    return [
        None,
        d_rows,
        *([None] * 6),
        None if is_absent(scale) else d_scale,
        None if is_absent(offset) else total,
        *([None] * 3),
    ]
