# SPDX-License-Identifier: Apache-2.0
"""Sums over rows of columns, and what is spread over them: several columns belong to a channel."""

from __future__ import annotations

from typing import Sequence

from ._compat import Tensor, tf


def sum_of_columns(values: Tensor, sizes: Sequence[int], spread: Sequence[int]) -> Tensor:
    """`[rows, columns]` values summed over the rows and over the columns of each channel.

    Args:
      values: a matrix.
      sizes: the axes that make up its columns.
      spread: the shape of the result: 1 where `sizes` has an axis that is summed over.
    """
    total = tf.reshape(tf.raw_ops.BiasAddGrad(out_backprop=values), sizes)
    axes = [axis for axis, size in enumerate(spread) if size != sizes[axis]]
    return tf.reduce_sum(total, axes, keepdims=True) if axes else total


def over_columns(value: Tensor, sizes: Sequence[int]) -> Tensor:
    """A row of one number for each column, from a `value` that broadcasts to `sizes`."""
    return tf.reshape(tf.broadcast_to(value, sizes), [-1])
