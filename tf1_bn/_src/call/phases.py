# SPDX-License-Identifier: Apache-2.0
"""The two phases of a layer, training and inference, as pure functions of tensors."""

from __future__ import annotations

import contextlib
from typing import Any

from ..kernels.batch import Affine, Batch, Measured, fitted, shaped
from ..kernels.columns import measure_columns
from ..kernels.composed import apply_affine, composed_batch_norm, measure_composed, measure_given
from ..kernels.fused import infer_images, infer_rows, measure_images, measure_rows
from ..kernels.moments import Moments
from ..kernels.renorm import RenormCorrection, renorm_correction
from ..plan.kernel_choice import Composed, Rows, Tf1Fused
from ..runtime.tensorflow_v1 import Tensor, may_be_compiled, tf
from .call_plan import Plan, State


def train(
    inputs: Tensor, adjustment: Affine | None, filled: Tensor | None, state: State, plan: Plan
) -> tuple[Tensor, Moments, RenormCorrection | None]:
    """Normalizes a batch with its own moments, measured by the kernel of the plan.

    Args:
      inputs: the batch.
      adjustment: what a spec's `adjustment` gave, broadcasting to the inputs; None without one.
      filled: a scalar bool tensor, False for an empty batch; None if it can never be empty.
      state: what the variables hold.
      plan: of the call.

    Returns:
      Outputs of the shape and dtype of the inputs; the moments that the averages move towards, of
      the shape of the variables, which for an empty batch are what the averages hold; and the
      correction of renorm, None without it.
    """
    spec, by_op = plan.spec, not isinstance(plan.choice.in_training, Composed)
    learned, correction = state.learned, None
    if filled is not None and by_op and may_be_compiled(filled.op):
        learned = _zero_where_empty(learned, filled)
    affine, outer = _split(adjustment, learned, plan)
    with _scope("normalized" if outer is not None else _stand_in(by_op, plan)):
        measured = _measured(inputs, filled, state, plan)
        if spec.renorm:
            assert state.renorm is not None, "renorm needs its averages"
            own = measured.moments()
            correction = renorm_correction(own, *state.renorm, spec.epsilon, spec.clipping)
            affine = affine.after(*correction)
        outputs, moments = measured.normalize(affine)
    if outer is not None:
        outputs = apply_affine(outputs, outer)
    return _as_by_op(outputs, by_op, plan), moments, correction


def infer(inputs: Tensor, state: State, plan: Plan) -> tuple[Tensor, Moments]:
    """Normalizes `inputs` with the averages.

    Returns:
      Outputs of the shape and dtype of the inputs, and the averages as moments.
    """
    way, moving, affine = plan.choice.in_inference, state.moving, state.learned
    epsilon, by_tf1 = plan.choice.contract.epsilon(plan.spec.epsilon), isinstance(way, Tf1Fused)
    with _scope(_stand_in(by_tf1, plan)):
        if isinstance(way, Tf1Fused):
            outputs = infer_images(inputs, moving, affine, epsilon, way)
        elif isinstance(way, Rows):
            outputs = infer_rows(inputs, moving, affine, epsilon, way.fold)
        else:
            moments, fit = fitted(moving, plan.geometry), fitted(affine, plan.geometry)
            outputs = composed_batch_norm(inputs, moments, fit, epsilon, inputs.dtype)
    return _as_by_op(outputs, by_tf1, plan), moving


def _measured(inputs: Tensor, filled: Tensor | None, state: State, plan: Plan) -> Measured:
    """The batch as the kernel of the plan sees it."""
    spec, way, contract = plan.spec, plan.choice.in_training, plan.choice.contract
    epsilon = contract.epsilon(spec.epsilon)
    batch = Batch(
        inputs,
        plan.geometry,
        epsilon,
        spec.virtual_batch_size,
        filled,
        state.moving,
        contract.fused,
    )
    if state.given is not None:
        return measure_given(batch, inputs, state.given)
    if plan.moments_fn is not None:
        seen, axes, keep_dims = batch.viewed(inputs)
        mean, variance = plan.moments_fn(seen, axes, keep_dims)
        dtype = plan.geometry.param_dtype
        own = Moments(tf.cast(mean, dtype), tf.cast(variance, dtype))
        return measure_given(batch, seen, own)
    if isinstance(way, Tf1Fused):
        return measure_images(batch, way)
    if isinstance(way, Rows):
        return measure_rows(batch, way.fold)
    return measure_composed(batch) if way.columns is None else measure_columns(batch, way.columns)


def _zero_where_empty(affine: Affine, filled: Tensor) -> Affine:
    """gamma, or 0 for an empty batch, for which XLA's gradient of the fused op is NaN."""
    if affine.scale is None:
        return affine
    scale = tf.where(filled, affine.scale, tf.zeros(affine.scale.shape, affine.scale.dtype))
    return affine._replace(scale=scale)


def _split(adjustment: Affine | None, learned: Affine, plan: Plan) -> tuple[Affine, Affine | None]:
    """What the kernel multiplies and adds for each channel, and what comes after it.

    An adjustment that is not one number for each channel cannot be part of the kernel.
    """
    if adjustment is None:
        return learned, None
    geometry = plan.geometry
    per_channel = [list(geometry.broadcast_shape)]
    if geometry.channels_last:
        per_channel.append(list(geometry.param_shape))
    if all(_has_shape(value, per_channel) for value in adjustment):
        return learned.after(*shaped(adjustment, geometry)), None
    return Affine(None, None), fitted(learned, geometry).after(*adjustment)


def _has_shape(value: Any, shapes: list[list[int]]) -> bool:
    return value.shape.ndims is not None and value.shape.as_list() in shapes


def _stand_in(by_op: bool, plan: Plan) -> str | None:
    """The scope of ops that stand in for TF 1.15's fused op, whose own names they leave free."""
    return "stand_in" if plan.choice.contract.fused and not by_op else None


def _as_by_op(outputs: Tensor, by_op: bool, plan: Plan) -> Tensor:
    """`outputs` under the name they have in TF 1.15's graph, if other ops stand in for its own."""
    if _stand_in(by_op, plan) is None:
        return outputs
    return tf.identity(outputs, name="FusedBatchNormV3")


def _scope(name: str | None) -> Any:
    return contextlib.nullcontext() if name is None else tf.name_scope(name)
