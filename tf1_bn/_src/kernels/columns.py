# SPDX-License-Identifier: Apache-2.0
"""Elementary ops on rows of columns, several of which belong to each channel.

Sums over the rows of a matrix, and arithmetic of its rows with one row, are several times quicker
than sums and arithmetic over axes before, between and behind the channels. So every value behind
the first channel axis is taken for a column, or several rows of few channels for one; the sums of
the columns of a channel are then added up, and what belongs to a channel is spread over them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..plan.row_layout import Fold
from ..runtime.tensorflow_v1 import Tensor, tf
from .affine import Affine
from .gradient import Seen, with_gradient
from .moments import Moments, inverse_count_of
from .row_view import over_columns, sum_of_columns
from .whole import factor_of


class Columns(NamedTuple):
    """A batch less its own mean, as rows of columns.

    Attributes:
      rows: `[rows, columns]`, in the dtype of the arithmetic.
      centered: the same less the mean of each channel.
      moments: of the shape `fold.spread`.
      inverse_count: 1 / the number of values in each moment.
      fold: how the columns belong to channels.
    """

    rows: Tensor
    centered: Tensor
    moments: Moments
    inverse_count: Any
    fold: Fold


def measure_columns(inputs: Tensor, fold: Fold, dtype: Any) -> Columns:
    """The batch as columns, and the mean and population variance of its channels.

    Args:
      inputs: of the static shape that `fold` was made for.
      fold: with columns.
      dtype: of the arithmetic, float32 or wider.
    """
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
        return Columns(rows, centered, Moments(mean, variance), inverse_count, fold)


def normalize_columns(batch: Columns, moments: Moments, affine: Affine, epsilon: Any) -> Tensor:
    """centered / sqrt(variance + epsilon) * scale + offset, as `[rows, columns]`.

    Args:
      batch: what `measure_columns` made.
      moments: its moments, or what stands for those of an empty batch.
      affine: `[channels]` each or None.
      epsilon: added to the variance.
    """
    fold = batch.fold
    scale, offset = (value if value is None else tf.reshape(value, fold.spread) for value in affine)
    inverse_stddev, factor = factor_of(moments.variance, Affine(scale, None), epsilon)
    columns = tf.broadcast_to(factor, fold.columns)
    outputs = batch.centered * tf.reshape(columns, [-1])
    if offset is not None:
        outputs = outputs + over_columns(offset, fold.columns)
    seen = Seen(batch.rows, None, moments.mean, inverse_stddev, factor, batch.inverse_count)
    return with_gradient(outputs, seen, Affine(scale, offset), columns)
