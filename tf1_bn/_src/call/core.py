# SPDX-License-Identifier: Apache-2.0
"""The algorithm: from an input and the layer's variables to an output, in training or inference."""

from __future__ import annotations

import contextlib
from typing import Any

from ..kernels.affine import apply_affine, split
from ..kernels.batch import Batch, Measured, fitted, has_values, measure_composed
from ..kernels.columns import measure_columns
from ..kernels.fused import infer_images, infer_rows, measure_images, measure_rows
from ..kernels.given import composed_batch_norm, measure_given
from ..kernels.moments import Affine, Moments
from ..kernels.renorm import renorm_correction
from ..plan.ways import Composed, Rows, Tf1Fused
from ..runtime.tensorflow_v1 import Tensor, Variable, may_be_compiled, tf
from ..runtime.training_flag import Phase
from ..state.variables import value_of
from . import tf1_names
from .call_plan import Outcome, Plan, State
from .calls import Call
from .conditional import either_phase
from .renorm_updates import renorm_update_ops
from .updates import update_ops, with_updates


def apply_batch_norm(inputs: Tensor, training: Phase, plan: Plan) -> Call:
    """Normalizes `inputs`; `training` is True, False or a bool tensor decided at run time.

    A tensor costs one `tf.cond` around the two phases. Without training there are no updates.
    """
    return updated(normalize(inputs, training, plan), plan)


def updated(outcome: Outcome, plan: Plan) -> Call:
    """The second half of `apply_batch_norm`: the updates of what `normalize` found."""
    return with_updates(outcome, plan, renorm_update_ops if plan.spec.renorm else update_ops)


def normalize(inputs: Tensor, training: Phase, plan: Plan) -> Outcome:
    """The first half of `apply_batch_norm`: everything but the updates."""
    ghosts = plan.spec.virtual_batch_size is not None
    reshapes = tf1_names.next_number("Reshape") if ghosts else None
    state = _state(plan, renorm=plan.spec.renorm and training is not False)
    adjusted: Any = None
    active: Any = False
    correction, scopes = None, None
    if training is False:
        outputs, moments = infer(inputs, state, plan)
    else:
        # TF1 calls `adjustment` once a call, outside of any conditional.
        adjusted, adjustment = _adjustment(inputs, plan)
        # The moments of an empty batch are NaN and must reach neither averages nor gradients.
        active = plan.given_filled if plan.given else has_values(inputs, plan.geometry)
        if training is True:
            outputs, moments, correction = train(inputs, adjustment, active, state, plan)
        else:
            # An empty batch is normalized and moves nothing, as in inference.
            active = training if active is None else tf.logical_and(training, active)
            outputs, moments, scopes = either_phase(
                inputs,
                active,
                state,
                plan,
                lambda seen, held: train(seen, adjustment, None, held, plan)[:2],
                lambda seen, held: infer(seen, held, plan),
            )
    call = Call(
        inputs,
        training,
        _with_tf1_name(outputs, reshapes, plan),
        plan.variables,
        plan.choice,
        moments=moments,
        active=active,
        adjusted=adjusted,
    )
    return Outcome(call, state.moving, correction, scopes)


def _with_tf1_name(outputs: Tensor, reshapes: int | None, plan: Plan) -> Tensor:
    # Elementary ops name what they make, unless something stands behind them.
    named = outputs.op.name.endswith("/add_1") and plan.spec.virtual_batch_size is None
    return outputs if plan.choice.fused or named else tf1_names.composed_output(outputs, reshapes)


def _state(plan: Plan, renorm: bool) -> State:
    """One read of every variable a phase may need, outside of any conditional.

    XLA copies what a branch computes into the branch of its gradient, where a read in it comes
    after the updates.
    """
    variables, dtype = plan.variables, plan.geometry.param_dtype

    def read(variable: Variable | None) -> Any:
        return None if variable is None else value_of(variable)

    # A custom getter may have handed out a half-precision copy.
    learned = (read(variable) for variable in (variables.gamma, variables.beta))
    return State(
        Affine(*(None if value is None else tf.cast(value, dtype) for value in learned)),
        Moments(read(variables.moving_mean), read(variables.moving_variance)),
        (read(variables.renorm_mean), read(variables.renorm_stddev)) if renorm else None,
        plan.given,
    )


def _adjustment(inputs: Tensor, plan: Plan) -> tuple[Any, Affine | None]:
    """What the caller's `adjustment` returned, and that in the dtype of the variables."""
    if plan.spec.adjustment is None:
        return None, None
    scale, bias = plan.spec.adjustment(tf.shape(inputs))
    dtype = plan.geometry.param_dtype
    return (scale, bias), Affine(tf.cast(scale, dtype), tf.cast(bias, dtype))


def train(
    inputs: Tensor, adjustment: Affine | None, filled: Tensor | None, state: State, plan: Plan
) -> tuple[Tensor, Moments, Affine | None]:
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
        learned = learned.zero_where_empty(filled)
    affine, outer = learned, None
    if adjustment is not None:
        affine, outer = split(adjustment, learned, plan.geometry)
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
