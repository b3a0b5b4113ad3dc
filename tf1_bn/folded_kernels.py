# SPDX-License-Identifier: Apache-2.0
"""The fused op on inputs that TF 1.15 did not give it, with the statistics TF 1.15 had for them."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from ._compat import Tensor, tf
from .affine import Affine
from .folding import Folded
from .folding_plan import Fold
from .gradient import Seen, differentiable_moments, with_gradient, with_gradient_of_op
from .kernels import FusedResult, complete, factor_of, fused_op, no_moments
from .moments import Moments, inverse_count_of, moments_or


class FoldedBatch(NamedTuple):
    """A batch as these kernels take it.

    Attributes:
      folded: the input.
      fold: how it was folded.
      epsilon: added to the variance.
      by_hand: leave out the op's own gradient.
      filled: None, or False for an empty batch, whose moments are `fallback`.
      fallback: `[channels]` each.
    """

    folded: Folded
    fold: Fold
    epsilon: float
    by_hand: bool
    filled: Tensor | None
    fallback: Moments


class Pass(NamedTuple):
    """The fused op over rows in training, and the rows' own moments, of the shape of its scale."""

    rows: Tensor
    op: Any
    moments: Moments
    inverse_count: Any


def folded_training(batch: FoldedBatch, affine: Affine) -> FusedResult:
    """Normalizes a batch with its moments; the result's are `[channels]`, of all ghosts.

    The variance is that of the population. Scale and offset are `[channels]` each or None.
    """
    with tf.name_scope("fold"):
        affine = _over_ghosts(affine, batch)
        passes = [_training_pass(rows, affine, batch) for rows in batch.folded.rows]
        outputs = [each.op.y for each in passes]
        if batch.by_hand:
            passes = [_differentiable(each, batch) for each in passes]
            outputs = [_by_hand(each.op.y, each, affine, batch) for each in passes]
        moments = _merged(passes, batch)
    with tf.name_scope("batchnorm"):
        return FusedResult(batch.folded.unfold(outputs, "add_1"), moments)


def folded_statistics(batch: FoldedBatch) -> tuple[list[Pass], Moments]:
    """What `folded_normalization` takes, and the moments as `folded_training` has them."""
    with tf.name_scope("fold"):
        affine = _over_ghosts(Affine(None, None), batch)
        passes = [_training_pass(rows, affine, batch) for rows in batch.folded.rows]
        return passes, _merged(passes, batch)


def folded_normalization(batch: FoldedBatch, passes: Sequence[Pass], affine: Affine) -> Tensor:
    """The outputs of `folded_training` for moments that are known already.

    Like inference it reads the batch once where training does twice; its gradient is that of
    training.
    """
    outputs = []
    with tf.name_scope("fold"):
        affine = _over_ghosts(affine, batch)
        for each in passes:
            if batch.by_hand:
                each = _differentiable(each, batch)
            normalized = fused_op(each.rows, affine, each.moments, batch.epsilon, False).y
            if batch.by_hand:
                outputs.append(_by_hand(normalized, each, affine, batch))
            else:
                outputs.append(with_gradient_of_op(normalized, each.rows, affine, each.op))
    with tf.name_scope("batchnorm"):
        return batch.folded.unfold(outputs, "add_1")


def folded_inference(
    folded: Folded, fold: Fold, moments: Moments, affine: Affine, epsilon: float
) -> Tensor:
    """Normalizes folded rows with given moments, `[channels]` each."""
    with tf.name_scope("fold"):
        affine = complete(affine, fold.channels)
        if fold.columns:
            moments = Moments(*(over_columns(value, fold) for value in moments))
            affine = Affine(*(over_columns(value, fold) for value in affine))
        normalized = fused_op(folded.rows[0], affine, moments, epsilon, is_training=False).y
    with tf.name_scope("batchnorm"):
        return folded.unfold([normalized], "add_1")


def over_columns(value: Tensor, fold: Fold) -> Tensor:
    """One value for each column, from one for each channel."""
    return tf.reshape(tf.broadcast_to(tf.reshape(value, fold.spread), fold.columns), [-1])


def _training_pass(rows: Tensor, affine: Affine, batch: FoldedBatch) -> Pass:
    inverse_count = inverse_count_of(rows, (0, 1, 2))
    op = fused_op(rows, affine, no_moments(), batch.epsilon)
    # The op gives the sample variance.
    moments = Moments(op.batch_mean, op.batch_variance * (1.0 - inverse_count))
    return Pass(rows, op, moments, inverse_count)


def _differentiable(each: Pass, batch: FoldedBatch) -> Pass:
    moments = moments_or(each.moments, batch.fallback, batch.filled)
    return each._replace(moments=differentiable_moments(moments, each.rows, each.inverse_count))


def _by_hand(normalized: Tensor, each: Pass, affine: Affine, batch: FoldedBatch) -> Tensor:
    inverse_stddev, factor = factor_of(each.moments.variance, affine, batch.epsilon)
    seen = Seen(each.rows, None, each.moments.mean, inverse_stddev, factor, each.inverse_count)
    return with_gradient(normalized, seen, affine, "normalized")


def _over_ghosts(affine: Affine, batch: FoldedBatch) -> Affine:
    """Scale and offset for the channels of the rows."""
    affine = complete(affine, batch.fold.channels)
    if not _has_ghost_channels(batch):
        return affine
    return Affine(*(tf.tile(value, [batch.folded.ghosts]) for value in affine))


def _merged(passes: Sequence[Pass], batch: FoldedBatch) -> Moments:
    """The moments of all ghosts, `[channels]` each."""

    def merged(values: Sequence[Tensor]) -> Tensor:
        if len(values) > 1:
            return tf.add_n(list(values)) / float(len(values))
        if _has_ghost_channels(batch):
            each = tf.reshape(values[0], [-1, batch.fold.channels], name="ghosts")
            return tf.reduce_mean(each, 0)
        return values[0]

    moments = Moments(*map(merged, zip(*(each.moments for each in passes))))
    return moments_or(moments, batch.fallback, batch.filled)


def _has_ghost_channels(batch: FoldedBatch) -> bool:
    return bool(tf.is_tensor(batch.folded.ghosts) or batch.folded.ghosts != 1)
