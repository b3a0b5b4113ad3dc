# SPDX-License-Identifier: Apache-2.0
"""The fused op on inputs that TF 1.15 did not give it, with the statistics TF 1.15 had for them."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from ..plan.row_layout import Fold
from ..runtime.tensorflow_v1 import Tensor, tf
from .affine import Affine
from .moments import Moments, inverse_count_of, moments_or
from .row_view import Folded, over_columns
from .whole import FusedResult, complete, fused_op, no_moments


class FoldedBatch(NamedTuple):
    """A batch as these kernels take it.

    Attributes:
      folded: the input.
      fold: how it was folded.
      epsilon: added to the variance.
      filled: None, or False for an empty batch, whose moments are `fallback`.
      fallback: `[channels]` each.
    """

    folded: Folded
    fold: Fold
    epsilon: float
    filled: Tensor | None
    fallback: Moments


def folded_training(batch: FoldedBatch, affine: Affine) -> FusedResult:
    """Normalizes a batch with its moments; the result's are `[channels]`, of all ghosts.

    The variance is that of the population. Scale and offset are `[channels]` each or None. The
    gradient is the op's own; it has none for the moments.
    """
    with tf.name_scope("fold"):
        outputs, moments = _trained(batch, affine)
    with tf.name_scope("batchnorm"):
        return FusedResult(batch.folded.unfold(outputs, "add_1"), moments)


def folded_moments(batch: FoldedBatch) -> Moments:
    """The moments that `folded_training` gives, without a gradient."""
    with tf.name_scope("fold"):
        return _trained(batch, Affine(None, None))[1]


def _trained(batch: FoldedBatch, affine: Affine) -> tuple[list[Tensor], Moments]:
    affine = _over_ghosts(affine, batch)
    ops = [fused_op(rows, affine, no_moments(), batch.epsilon) for rows in batch.folded.rows]
    moments = [_population_moments(op, rows) for op, rows in zip(ops, batch.folded.rows)]
    return [op.y for op in ops], _merged(moments, batch)


def folded_inference(
    folded: Folded, fold: Fold, moments: Moments, affine: Affine, epsilon: float
) -> Tensor:
    """Normalizes folded rows with given moments, `[channels]` each."""
    with tf.name_scope("fold"):
        affine = complete(affine, fold.channels)
        if fold.columns:
            moments = Moments(*(_over_columns(value, fold) for value in moments))
            affine = Affine(*(_over_columns(value, fold) for value in affine))
        normalized = fused_op(folded.rows[0], affine, moments, epsilon, is_training=False).y
    with tf.name_scope("batchnorm"):
        return folded.unfold([normalized], "add_1")


def _over_columns(value: Tensor, fold: Fold) -> Tensor:
    return over_columns(tf.reshape(value, fold.spread), fold.columns)


def _population_moments(op: Any, rows: Tensor) -> Moments:
    # The op gives the sample variance.
    population = 1.0 - inverse_count_of(rows, (0, 1, 2))
    return Moments(op.batch_mean, op.batch_variance * population)


def _over_ghosts(affine: Affine, batch: FoldedBatch) -> Affine:
    """Scale and offset for the channels of the rows."""
    affine = complete(affine, batch.fold.channels)
    if not _has_ghost_channels(batch):
        return affine
    return Affine(*(tf.tile(value, [batch.folded.ghosts]) for value in affine))


def _merged(found: Sequence[Moments], batch: FoldedBatch) -> Moments:
    """The moments of all ghosts, `[channels]` each."""

    def merged(values: Sequence[Tensor]) -> Tensor:
        if len(values) > 1:
            return tf.add_n(list(values)) / float(len(values))
        if _has_ghost_channels(batch):
            each = tf.reshape(values[0], [-1, batch.fold.channels], name="ghosts")
            return tf.reduce_mean(each, 0)
        return values[0]

    moments = Moments(*map(merged, zip(*found)))
    return moments_or(moments, batch.fallback, batch.filled)


def _has_ghost_channels(batch: FoldedBatch) -> bool:
    return bool(tf.is_tensor(batch.folded.ghosts) or batch.folded.ghosts != 1)
