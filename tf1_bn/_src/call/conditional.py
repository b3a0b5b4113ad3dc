# SPDX-License-Identifier: Apache-2.0
"""One conditional between two computations on the same tensors."""

from __future__ import annotations

from typing import Callable, Sequence

from ..runtime.tensorflow_v1 import Tensor, tf

Computation = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def either(
    predicate: Tensor,
    tensors: Sequence[Tensor],
    if_true: Computation,
    if_false: Computation,
    name: str,
) -> list[Tensor]:
    """What one of two computations on `tensors` gives; only that one runs.

    `tf.cond` of control flow v1 switches each tensor once for each computation. The gradient then
    adds, for what both use, a tensor of zeros: with a batch of activations, half a training step.
    Where that is control flow's kind and nothing surrounds the call, each tensor is switched once.

    Args:
      predicate: a scalar bool tensor.
      tensors: all that the computations need and that gradients may flow to.
      if_true: makes tensors of its arguments, at least one of which each must depend on.
      if_false: likewise; as many, of the same dtypes.
      name: of the scope.
    """
    if not _outermost_v1():
        return tf.cond(  # type: ignore[no-any-return]
            predicate, lambda: list(if_true(tensors)), lambda: list(if_false(tensors)), name=name
        )
    with tf.name_scope(name):
        switched = [tf.raw_ops.Switch(data=tensor, pred=predicate) for tensor in tensors]
        taken = if_true([switch.output_true for switch in switched])
        other = if_false([switch.output_false for switch in switched])
        return [
            tf.raw_ops.Merge(inputs=[if_not, if_so], name="Merge").output
            for if_not, if_so in zip(other, taken)
        ]


def _outermost_v1() -> bool:
    if tf.control_flow_v2_enabled() or type(tf.get_default_graph()) is not tf.Graph:
        return False
    # Inside a conditional or loop, and under control dependencies, an op waits for something.
    return not tf.no_op(name="outermost").control_inputs
