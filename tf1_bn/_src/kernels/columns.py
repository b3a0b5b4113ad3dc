# SPDX-License-Identifier: Apache-2.0
"""Elementary ops on rows of columns, several of which belong to each channel.

Sums over the rows of a matrix, and arithmetic of its rows with one row, are several times quicker
than sums and arithmetic over axes before, between and behind the channels. So every value behind
the first channel axis is taken for a column, or several rows of few channels for one; the sums of
the columns of a channel are then added up, and what belongs to a channel is spread over them.
"""

from __future__ import annotations

from ..plan.row_layout import Fold
from ..runtime.tensorflow_v1 import Tensor, tf
from .batch import Batch, Measured, add, factor_of, inverse_count_of, with_gradient
from .gradients import Forward
from .moments import Affine, Moments, flat
from .row_view import as_input, over_columns, sum_of_columns


def measure_columns(batch: Batch, fold: Fold) -> Measured:
    """By elementary ops on `[rows, columns]`, with a gradient by hand.

    Args:
      batch: of the static shape that `fold` was made for.
      fold: with columns.
    """
    inputs, dtype = batch.inputs, batch.geometry.param_dtype
    with tf.name_scope("moments"):
        rows = tf.reshape(inputs, [-1, fold.width])
        rows = rows if rows.dtype == dtype else tf.cast(rows, dtype)
        inverse_count = inverse_count_of(rows, (0,)) * (fold.channels / float(fold.width))

        def mean_of(values: Tensor, name: str) -> Tensor:
            total = sum_of_columns(values, fold.columns, fold.spread)
            return tf.multiply(total, inverse_count, name=name)

        mean = mean_of(rows, "mean")
        centered = rows - over_columns(mean, fold.columns)
        variance = mean_of(tf.square(centered), "variance")
    moments = batch.settled(Moments(mean, variance))

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        affine = flat(affine)
        with tf.name_scope("batchnorm"):
            mean, variance = (tf.reshape(value, fold.spread) for value in moments)
            scale, offset = (
                value if value is None else tf.reshape(value, fold.spread) for value in affine
            )
            inverse_stddev, factor = factor_of(variance, Affine(scale, None), batch.epsilon)
            columns = tf.broadcast_to(factor, fold.columns)
            outputs = centered * tf.reshape(columns, [-1])
            if offset is not None:
                # Otherwise it takes the name that TF1's output has.
                outputs = add(outputs, over_columns(offset, fold.columns), "sum")
            forward = Forward(rows, None, mean, inverse_stddev, factor, inverse_count)
            outputs = with_gradient(outputs, forward, Affine(scale, offset), columns)
            outputs = as_input(tf.cast(outputs, inputs.dtype), inputs, "add_1")
        return outputs, batch.reported(moments, inverse_count)

    return Measured(lambda: moments, normalize)
