# SPDX-License-Identifier: Apache-2.0
"""Inputs of any rank as rows of channels or of columns, several of which belong to a channel."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from ..plan.row_layout import Fold, rows_shape
from ..runtime.tensorflow_v1 import Tensor, tf


class Folded(NamedTuple):
    """An input seen by the fused op.

    Attributes:
      rows: NHWC tensors, the channels last; more than one only for ghost batches cut out.
      ghosts: how often the channels are repeated in each, an int or a scalar tensor.
      unfold: makes the layer's output of as many such tensors, under a name.
    """

    rows: list[Tensor]
    ghosts: Any
    unfold: Callable[[Sequence[Tensor], str], Tensor]


def fold_input(inputs: Tensor, fold: Fold, ghost_size: int | None) -> Folded:
    """Folds to rows of channels or columns, of rank 4; moves data only where `fold` says so."""
    # A scope of its own leaves the names that TF1 gives to its ops.
    with tf.name_scope("fold"):
        if fold.columns:
            return _columns(inputs, fold)
        if fold.slices:
            return _ghost_slices(inputs, fold, ghost_size)
        if fold.transposed:
            return _transposed(inputs, fold, ghost_size)
        return _rows(inputs, fold, ghost_size)


def _rows(inputs: Tensor, fold: Fold, ghost_size: int | None) -> Folded:
    ghosts: Any = 1
    shape = rows_shape(inputs.shape.as_list(), fold.channels)
    if fold.ghosts:
        ghosts = _ghost_count(inputs, ghost_size)
        *rows_of_ghost, _ = rows_shape([ghost_size], 1)
        shape = [*rows_of_ghost, -1 if tf.is_tensor(ghosts) else ghosts * fold.channels]
    rows = tf.reshape(inputs, shape)
    return Folded([rows], ghosts, lambda outputs, name: as_input(outputs[0], inputs, name))


def _columns(inputs: Tensor, fold: Fold) -> Folded:
    rows = tf.reshape(inputs, rows_shape(inputs.shape.as_list(), fold.width))
    return Folded([rows], 1, lambda outputs, name: as_input(outputs[0], inputs, name))


def _ghost_slices(inputs: Tensor, fold: Fold, ghost_size: int | None) -> Folded:
    values = fold.between * fold.channels
    view = tf.reshape(inputs, [ghost_size, fold.slices, values])
    shape = rows_shape([ghost_size, values], fold.channels)
    rows = [tf.reshape(ghost, shape) for ghost in tf.unstack(view, num=fold.slices, axis=1)]

    def unfold(outputs: Sequence[Tensor], name: str) -> Tensor:
        ghosts = [tf.reshape(output, [ghost_size, values]) for output in outputs]
        return as_input(tf.stack(ghosts, axis=1), inputs, name)

    return Folded(rows, 1, unfold)


def _transposed(inputs: Tensor, fold: Fold, ghost_size: int | None) -> Folded:
    if not fold.ghosts:
        view = tf.reshape(inputs, [-1, fold.channels, fold.after])
        moved = tf.transpose(view, [0, 2, 1])
        rows = tf.reshape(moved, rows_shape(inputs.shape.as_list(), fold.channels))

        def unfold(outputs: Sequence[Tensor], name: str) -> Tensor:
            back = tf.reshape(outputs[0], [-1, fold.after, fold.channels])
            return as_input(tf.transpose(back, [0, 2, 1]), inputs, name)

        return Folded([rows], 1, unfold)

    ghosts = _ghost_count(inputs, ghost_size)
    sizes = [ghost_size, ghosts, fold.between, fold.channels, fold.after]
    moved_sizes = [ghost_size, fold.between, fold.after, ghosts, fold.channels]
    moved = tf.transpose(tf.reshape(inputs, sizes), [0, 2, 4, 1, 3])
    row_count = (ghost_size or 1) * fold.between * fold.after
    *rows_of_ghost, _ = rows_shape([row_count], 1)
    rows = tf.reshape(moved, [*rows_of_ghost, -1])

    def unfold_ghosts(outputs: Sequence[Tensor], name: str) -> Tensor:
        back = tf.transpose(tf.reshape(outputs[0], moved_sizes), [0, 3, 1, 4, 2])
        return as_input(back, inputs, name)

    return Folded([rows], ghosts, unfold_ghosts)


def _ghost_count(inputs: Tensor, ghost_size: int | None) -> Any:
    batch = inputs.shape.as_list()[0]
    if batch is not None:
        return batch // ghost_size
    return tf.shape(inputs)[0] // ghost_size


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
