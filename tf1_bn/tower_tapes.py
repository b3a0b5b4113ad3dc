# SPDX-License-Identifier: Apache-2.0
"""Has a tape in a tower refused: it would take what other towers' threads build for constants."""

from __future__ import annotations

from ._compat import Operation, Tensor, register_gradient, tf
from .batch_statistics import BatchStatistics

# Part of every graph that was ever exported, so it stays as it is.
_MERGED = "tf1_bn.tower_tapes.merged"
_NO_TAPE = (
    "a tf.GradientTape in a tower cannot see the other towers of statistics that are merged across "
    "them: take tf.gradients, or an optimizer's compute_gradients"
)


def refused_by_tapes(merged: BatchStatistics, own: BatchStatistics) -> BatchStatistics:
    """`merged`, from which `tf.gradients` goes on as ever and a tape raises LookupError.

    Args:
      merged: the statistics of all towers, made in the thread of any of them.
      own: those of the tower whose thread this is, which a tape there has seen.
    """
    seen = tf.identity_n([*merged, *own])[: len(merged)]
    refused = [tf.raw_ops.PreventGradient(input=value, message=_NO_TAPE) for value in seen]
    with tf.get_default_graph().gradient_override_map({"IdentityN": _MERGED}):
        outputs = tf.identity_n([*merged, *refused])
    return BatchStatistics(*outputs[len(merged) :])


@register_gradient(_MERGED)
def _gradient_of_merged(op: Operation, *gradients: Tensor) -> list[Tensor | None]:
    half = len(gradients) // 2
    return [*gradients[half:], *[None] * half]
