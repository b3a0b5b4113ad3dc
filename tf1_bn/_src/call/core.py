# SPDX-License-Identifier: Apache-2.0
"""The algorithm: from an input and the layer's variables to an output and its update ops."""

from __future__ import annotations

from typing import Any, Sequence

from ..kernels.batch import Affine
from ..kernels.moments import Moments, has_values
from ..runtime.tensorflow_v1 import Tensor, Variable, loses_gradient_in_cond, tf
from ..state.variable_kinds import value_of
from . import tf1_names
from .call_plan import Normalized, Plan, State
from .calls import Call
from .conditional import either
from .phases import infer, train
from .updates import Outcome, with_updates


def apply_batch_norm(inputs: Tensor, training: Any, plan: Plan) -> Call:
    """Normalizes `inputs`; `training` is True, False or a bool tensor decided at run time.

    A tensor costs one `tf.cond` around the two phases. Without training there are no updates.
    """
    return with_updates(normalize(inputs, training, plan), plan)


def normalize(inputs: Tensor, training: Any, plan: Plan) -> Outcome:
    """The first half of `apply_batch_norm`: everything but the updates."""
    reshapes = tf1_names.next_number("Reshape")
    state = _state(plan, renorm=plan.spec.renorm and training is not False)
    # TF1 calls `adjustment` once a call, outside of any conditional.
    given = None if training is False else _adjustment(inputs, plan)
    normalized, active, scopes = _normalize(inputs, training, given, state, plan)
    outputs = normalized.outputs
    if not plan.choice.fused:
        ghosts = plan.spec.virtual_batch_size is not None
        outputs = tf1_names.composed_output(outputs, reshapes if ghosts else None)
    call = Call(
        inputs,
        training,
        outputs,
        plan.variables,
        plan.choice,
        moments=normalized.moments,
        active=active,
        adjusted=given,
    )
    return Outcome(call, state, normalized.correction, scopes)


def _normalize(
    inputs: Tensor, training: Any, given: Any, state: State, plan: Plan
) -> tuple[Normalized, Any, list[str] | None]:
    """The phase, or both; when the batch counts, as `Call.active`; and `Outcome.scopes`."""
    if training is False:
        return infer(inputs, state, plan), False, None
    dtype = plan.geometry.param_dtype
    adjustment = None if given is None else Affine(*(tf.cast(part, dtype) for part in given))
    # The moments of an empty batch are NaN and must reach neither averages nor gradients.
    filled = plan.given.filled if plan.given else has_values(inputs, plan.geometry)
    if training is True:
        return train(inputs, adjustment, filled, state, plan), filled, None
    # An empty batch is normalized and moves nothing, as in inference.
    active = training if filled is None else tf.logical_and(training, filled)
    normalized, scopes = _either_phase(inputs, active, adjustment, state, plan)
    return normalized, active, scopes


def _either_phase(
    inputs: Tensor, training: Tensor, adjustment: Affine | None, state: State, plan: Plan
) -> tuple[Normalized, list[str] | None]:
    """Both phases behind one conditional, and the op scopes TF1 would give the two updates."""

    def flat(normalized: Normalized) -> list[Tensor]:
        return [normalized.outputs, *normalized.moments]

    def parts(tensors: Sequence[Tensor]) -> tuple[Tensor, State]:
        left = iter(tensors)
        seen = next(left)
        affine = Affine(*(value if value is None else next(left) for value in state.learned))
        moving, given = Moments(next(left), next(left)), Moments(*left) if state.given else None
        return seen, State(affine, moving, state.renorm, given)

    def training_phase(tensors: Sequence[Tensor]) -> list[Tensor]:
        seen, switched = parts(tensors)
        return flat(train(seen, adjustment, None, switched, plan))

    def inference_phase(tensors: Sequence[Tensor]) -> list[Tensor]:
        return flat(infer(*parts(tensors), plan))

    widen = loses_gradient_in_cond(inputs.dtype)
    wide = tf.cast(inputs, tf.float32) if widen else inputs
    learned = [value for value in state.learned if value is not None]
    outputs, mean, variance = either(
        training,
        [wide, *learned, *state.moving, *(state.given or ())],
        training_phase,
        inference_phase,
        "wide_cond" if widen else "cond",
    )
    outputs.set_shape(inputs.shape)
    fused, renorm = plan.choice.fused, plan.spec.renorm
    taken = tf1_names.conditionals_of(fused, adjustment is not None, renorm)
    scopes = tf1_names.conditionals(taken + widen)
    merge = tf1_names.last_of(outputs)
    if widen:
        outputs = tf1_names.cast_output(outputs, inputs.dtype, scopes[0])
    normalized = Normalized(outputs, Moments(mean, variance))
    return normalized, None if fused else tf1_names.updates_in(scopes, merge, renorm)


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
        plan.given.moments if plan.given else None,
    )


def _adjustment(inputs: Tensor, plan: Plan) -> tuple[Any, Any] | None:
    if plan.spec.adjustment is None:
        return None
    scale, bias = plan.spec.adjustment(tf.shape(inputs))
    return scale, bias
