# SPDX-License-Identifier: Apache-2.0
"""Inputs of any rank as rows of channels or of columns, several of which belong to a channel."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from ..plan.row_layout import Fold, rows_shape
from ..runtime.tensorflow_v1 import Tensor, tf


class Layout(NamedTuple):
    """How an input becomes NHWC rows for the fused op: split, moved or cut, and put into rows.

    Attributes:
      rows: the shape of each tensor of rows, the channels last.
      split: the sizes that the input is given first; empty for as it is.
      order: the axes of that in the order of the rows; empty where nothing moves.
      slices: how many tensors axis 1 of that is cut into; 0 for a single one.
      ghosts: how often the channels are repeated in a row, an int or a scalar tensor.
    """

    rows: Sequence[Any]
    split: Sequence[Any] = ()
    order: Sequence[int] = ()
    slices: int = 0
    ghosts: Any = 1


def layout_of(inputs: Tensor, fold: Fold, ghost_size: int | None) -> Layout:
    """The layout of `inputs` by `fold`, with ghost batches of `ghost_size` examples."""
    shape = inputs.shape.as_list()
    if not fold.ghosts:
        rows = rows_shape(shape, fold.width)
        if not fold.transposed:
            return Layout(rows)
        return Layout(rows, [-1, fold.channels, fold.after], [0, 2, 1])
    size = ghost_size or 1
    if fold.slices:
        values = fold.between * fold.channels
        rows = rows_shape([size, values], fold.channels)
        return Layout(rows, [size, fold.slices, values], slices=fold.slices)
    ghosts = tf.shape(inputs)[0] // size if shape[0] is None else shape[0] // size
    *rows, _ = rows_shape([size * fold.between * fold.after], 1)
    if not fold.transposed:
        columns = -1 if tf.is_tensor(ghosts) else ghosts * fold.channels
        return Layout([*rows, columns], ghosts=ghosts)
    split = [size, ghosts, fold.between, fold.channels, fold.after]
    return Layout([*rows, -1], split, [0, 2, 4, 1, 3], ghosts=ghosts)


def to_rows(inputs: Tensor, layout: Layout) -> list[Tensor]:
    """Each of the tensors of rows, of rank 4; more than one only for ghost batches cut out."""
    view = tf.reshape(inputs, layout.split) if layout.split else inputs
    if layout.slices:
        parts = tf.unstack(view, num=layout.slices, axis=1)
    else:
        parts = [tf.transpose(view, layout.order) if layout.order else view]
    return [tf.reshape(part, layout.rows) for part in parts]


def from_rows(rows: Sequence[Tensor], layout: Layout, inputs: Tensor) -> Tensor:
    """What `to_rows` made of a tensor like `inputs`, in its shape again, named `add_1`."""
    if layout.slices:
        size, _, values = layout.split
        view = tf.stack([tf.reshape(part, [size, values]) for part in rows], axis=1)
    elif layout.order:
        moved = tf.reshape(rows[0], [layout.split[axis] for axis in layout.order])
        view = tf.transpose(moved, [layout.order.index(axis) for axis in range(len(layout.order))])
    else:
        view = rows[0]
    return as_input(view, inputs, "add_1")


def as_input(outputs: Tensor, inputs: Tensor, name: str) -> Tensor:
    """`outputs`, whose values are in the order of the inputs, in the shape of the inputs."""
    static = inputs.shape.as_list()
    known = [-1 if size is None else size for size in static]
    # A -1 beside a 0 has no answer.
    if known.count(-1) > 1 or (-1 in known and 0 in known):
        result = tf.reshape(outputs, tf.shape(inputs), name=name)
    else:
        result = tf.reshape(outputs, known, name=name)
    result.set_shape(static)
    return result


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
