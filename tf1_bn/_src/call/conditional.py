# SPDX-License-Identifier: Apache-2.0
"""One conditional between the two phases of a call, on the same tensors."""

from __future__ import annotations

from typing import Callable, Sequence, Tuple

from ..kernels.moments import Affine, Moments
from ..runtime.tensorflow_v1 import Tensor, loses_gradient_in_cond, tf
from . import tf1_names
from .call_plan import Plan, State

Computation = Callable[[Sequence[Tensor]], Sequence[Tensor]]

# Of inputs, with what the variables hold.
Normalization = Callable[[Tensor, State], Tuple[Tensor, Moments]]


def either_phase(
    inputs: Tensor,
    training: Tensor,
    state: State,
    plan: Plan,
    if_training: Normalization,
    if_inference: Normalization,
) -> tuple[Tensor, Moments, list[str] | None]:
    """Both phases behind one conditional.

    Returns:
      The outputs and moments of the phase that is taken, and `Outcome.scopes`.
    """

    def computation(normalization: Normalization) -> Computation:
        def compute(tensors: Sequence[Tensor]) -> list[Tensor]:
            left = iter(tensors)
            seen = next(left)
            affine = Affine(*(value if value is None else next(left) for value in state.learned))
            moving, given = Moments(next(left), next(left)), Moments(*left) if state.given else None
            outputs, moments = normalization(seen, State(affine, moving, state.renorm, given))
            return [outputs, *moments]

        return compute

    widen = loses_gradient_in_cond(inputs.dtype)
    wide = tf.cast(inputs, tf.float32) if widen else inputs
    learned = [value for value in state.learned if value is not None]
    outputs, mean, variance = either(
        training,
        [wide, *learned, *state.moving, *(state.given or ())],
        computation(if_training),
        computation(if_inference),
        "wide_cond" if widen else "cond",
    )
    outputs.set_shape(inputs.shape)
    fused, renorm = plan.choice.fused, plan.spec.renorm
    taken = tf1_names.conditionals_of(fused, plan.spec.adjustment is not None, renorm)
    scopes = tf1_names.conditionals(taken + widen)
    merge = tf1_names.last_of(outputs)
    if widen:
        outputs = tf1_names.cast_output(outputs, inputs.dtype, scopes[0])
    named = None if fused else tf1_names.updates_in(scopes, merge, renorm)
    return outputs, Moments(mean, variance), named


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
