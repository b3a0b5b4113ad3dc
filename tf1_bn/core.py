# SPDX-License-Identifier: Apache-2.0
"""The algorithm: from an input and the layer's variables to an output and its update ops."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from ._compat import Operation, Tensor, loses_gradient_in_cond, tf
from .affine import Affine, broadcastable
from .geometry import Geometry
from .kernel_choice import KernelChoice
from .kernels import fused_inference, fused_training, unfused_batch_norm
from .moments import (
    Moments,
    MomentsFn,
    ghost_view,
    has_values,
    mean_over_ghosts,
    moments_or,
)
from .moving_average import MovingAverage, assign_variance, move, rate_where, update_rate
from .renorm import RenormCorrection, batch_stddev, no_correction, renorm_correction
from .spec import BatchNormSpec
from .variables import BatchNormVariables


class Plan(NamedTuple):
    """Everything decided before the first op of a call."""

    spec: BatchNormSpec
    geometry: Geometry
    choice: KernelChoice
    variables: BatchNormVariables
    moments_fn: MomentsFn


class Applied(NamedTuple):
    """What a call adds to the graph: `updates` are for UPDATE_OPS, nothing depends on them.

    `updates_again` builds the same updates anew; each reads its variable when it runs, so that
    the calls of a shared layer can be chained one after the other.
    """

    outputs: Tensor
    updates: tuple[Operation, ...]
    updates_again: Callable[[], list[Operation]] | None


class Normalized(NamedTuple):
    """The outcome of one phase: outputs, and the statistics the averages move towards."""

    outputs: Tensor
    moments: Moments
    correction: RenormCorrection | None = None


class Outcome(NamedTuple):
    """What `normalize` found, and when its statistics are to be taken over.

    `active` is False without training, None for always, otherwise a bool tensor; `scopes` are the
    full names TF1 would give the two updates, None where they come by themselves.
    """

    normalized: Normalized
    active: Any
    scopes: list[str] | None = None


def apply_batch_norm(inputs: Tensor, training: Any, plan: Plan) -> Applied:
    """Normalizes `inputs`; `training` is True, False or a bool tensor decided at run time.

    A tensor costs one `tf.cond` around the two phases. Without training there are no updates.
    """
    normalized, active, scopes = normalize(inputs, training, plan)
    if active is False:
        return Applied(normalized.outputs, (), None)
    return Applied(
        normalized.outputs,
        tuple(_update_ops(normalized, active, plan, scopes)),
        lambda: _update_ops(normalized, active, plan, scopes=None, fresh=True),
    )


def normalize(inputs: Tensor, training: Any, plan: Plan) -> Outcome:
    """The first half of `apply_batch_norm`: everything but the updates."""
    if training is False:
        normalized = _inference(inputs, plan)
        outputs = _named(normalized.outputs, plan)
        return Outcome(normalized._replace(outputs=outputs), False)
    # TF1 calls it once a call, outside of any conditional.
    adjustment = _adjustment(inputs, plan)
    # The moments of an empty batch are NaN and must reach neither averages nor gradients.
    filled = has_values(inputs, plan.geometry)
    if training is True:
        return Outcome(_training(inputs, adjustment, filled, plan), filled)
    normalized, scopes = _either_phase(inputs, training, adjustment, filled, plan)
    active = training if filled is None else tf.logical_and(training, filled)
    outputs = _named(normalized.outputs, plan)
    return Outcome(normalized._replace(outputs=outputs), active, scopes)


def _training(
    inputs: Tensor, adjustment: Affine | None, filled: Tensor | None, plan: Plan
) -> Normalized:
    spec, geometry = plan.spec, plan.geometry
    if plan.choice.fused:
        outputs, batch = fused_training(inputs, _learned(plan), spec.epsilon, geometry, plan.choice)
        return Normalized(outputs, moments_or(batch, _moving(plan), filled))
    if spec.virtual_batch_size is not None:
        return _ghost_training(inputs, spec.virtual_batch_size, filled, plan)
    batch = _moments(inputs, geometry.reduction_axes, len(geometry.channel_axes) > 1, plan)
    batch = moments_or(batch, _moving(plan), filled)
    correction = _correction(batch, plan)
    affine = _fit(_learned(plan), plan)
    if adjustment is not None:
        affine = affine.after(*adjustment)
    if correction is not None:
        affine = affine.after(*_fit(correction, plan))
    return Normalized(_normalize(inputs, batch, affine, plan), batch, correction)


def _ghost_training(
    inputs: Tensor, virtual_batch_size: int, filled: Tensor | None, plan: Plan
) -> Normalized:
    ghosts = ghost_view(inputs, virtual_batch_size)
    per_ghost = _moments(ghosts, plan.geometry.ghost_reduction_axes, True, plan)
    batch = moments_or(mean_over_ghosts(per_ghost), _moving(plan), filled)
    correction = _correction(batch, plan)
    affine = _learned(plan)
    if correction is not None:
        affine = affine.after(*correction)
    outputs = unfused_batch_norm(ghosts, per_ghost, affine, plan.spec.epsilon, inputs.dtype)
    outputs = tf.reshape(outputs, tf.shape(inputs), name="Reshape")
    outputs.set_shape(inputs.shape)
    return Normalized(outputs, batch, correction)


def _inference(inputs: Tensor, plan: Plan) -> Normalized:
    moving, affine = _moving(plan), _learned(plan)
    if plan.choice.fused:
        outputs = fused_inference(
            inputs, moving, affine, plan.spec.epsilon, plan.geometry, plan.choice
        )
    else:
        outputs = _normalize(inputs, moving, _fit(affine, plan), plan)
    correction = no_correction(moving.mean) if plan.spec.renorm else None
    return Normalized(outputs, moving, correction)


def _either_phase(
    inputs: Tensor, training: Tensor, adjustment: Affine | None, filled: Tensor | None, plan: Plan
) -> tuple[Normalized, list[str] | None]:
    """Both phases behind one conditional, and the op scopes TF1 would give the two updates."""

    def flat(normalized: Normalized) -> list[Tensor]:
        return [normalized.outputs, *normalized.moments, *(normalized.correction or ())]

    widen = loses_gradient_in_cond(inputs.dtype)
    wide = tf.cast(inputs, tf.float32) if widen else inputs
    outputs, mean, variance, *correction = tf.cond(
        training,
        lambda: flat(_training(wide, adjustment, filled, plan)),
        lambda: flat(_inference(wide, plan)),
        name="wide_cond" if widen else "cond",
    )
    outputs.set_shape(inputs.shape)
    normalized = Normalized(
        outputs, Moments(mean, variance), RenormCorrection(*correction) if correction else None
    )
    # TF1 spent this many conditionals; taking their names keeps the numbers of later ones.
    unused = 1 if plan.choice.fused else 3 + 2 * (adjustment is not None) + 4 * plan.spec.renorm
    scopes = [tf.get_default_graph().unique_name("cond") for _ in range(unused + widen)]
    merge = outputs.op.name.split("/")[-1]
    if widen:
        with tf.name_scope(f"{scopes[0]}/"):
            normalized = normalized._replace(outputs=tf.cast(outputs, inputs.dtype, name=merge))
    if plan.choice.fused:
        return normalized, None
    return normalized, [f"{scope}/{merge}" for scope in scopes[-2:]]


def _update_ops(
    normalized: Normalized,
    active: Tensor | None,
    plan: Plan,
    scopes: list[str] | None,
    fresh: bool = False,
) -> list[Operation]:
    """The ops for UPDATE_OPS: that of moving_mean, then that of moving_variance."""
    spec, variables, batch = plan.spec, plan.variables, normalized.moments
    dtype = plan.geometry.param_dtype

    def rate(momentum: Any) -> Tensor:
        return rate_where(active, update_rate(momentum, dtype, plan.choice.fused))

    def move_mean() -> Operation:
        return move(MovingAverage(variables.moving_mean, batch.mean, moving_rate), fresh)

    def move_variance() -> Operation:
        if not spec.renorm:
            average = MovingAverage(variables.moving_variance, batch.variance, moving_rate)
            return move(average, fresh)
        stddev = batch_stddev(batch, spec.epsilon)
        moved = move(MovingAverage(variables.moving_stddev, stddev, moving_rate), fresh)
        with tf.control_dependencies([moved]):
            return assign_variance(
                variables.moving_variance, variables.moving_stddev, spec.epsilon, active
            )

    moving_rate = rate(spec.momentum)
    first: list[Operation] = []
    if normalized.correction is not None:
        # The correction uses the averages as they were before this step.
        with tf.control_dependencies(list(normalized.correction)):
            renorm_rate = rate(spec.renorm_momentum)
            stddev = batch_stddev(batch, spec.epsilon)
            first = [
                move(MovingAverage(variables.renorm_mean, batch.mean, renorm_rate), fresh),
                move(MovingAverage(variables.renorm_stddev, stddev, renorm_rate), fresh),
            ]
    with tf.control_dependencies(first):
        if scopes is None:
            return [move_mean(), move_variance()]
        return [
            _named_update(scope, update, batch.mean)
            for scope, update in zip(scopes, (move_mean, move_variance))
        ]


def _named_update(name: str, update: Callable[[], Operation], value: Tensor) -> Operation:
    """An op of exactly this full name that runs `update`."""
    scope, _, last = name.rpartition("/")
    with tf.name_scope(f"{scope}/"), tf.control_dependencies([update()]):
        return tf.identity(value, name=last).op


def _named(outputs: Tensor, plan: Plan) -> Tensor:
    """The output under the name it has in TF1, whatever made it."""
    if plan.choice.fused:
        return outputs
    if plan.spec.virtual_batch_size is not None:
        # TF1 reshapes to ghosts first and back last; the output is the second of the pair.
        tf.get_default_graph().unique_name("Reshape")
        return tf.identity(outputs, name="Reshape")
    if outputs.op.name.endswith("/add_1"):
        return outputs
    with tf.name_scope("batchnorm"):
        return tf.identity(outputs, name="add_1")


def _moments(inputs: Tensor, axes: Any, keep_dims: bool, plan: Plan) -> Moments:
    mean, variance = plan.moments_fn(inputs, axes, keep_dims)
    dtype = plan.geometry.param_dtype
    return Moments(tf.cast(mean, dtype), tf.cast(variance, dtype))


def _moving(plan: Plan) -> Moments:
    return Moments(
        tf.convert_to_tensor(plan.variables.moving_mean),
        tf.convert_to_tensor(plan.variables.moving_variance),
    )


def _learned(plan: Plan) -> Affine:
    dtype = plan.geometry.param_dtype
    # A custom getter may have handed out a half-precision copy.
    return Affine(
        *(
            None if variable is None else tf.cast(tf.convert_to_tensor(variable), dtype)
            for variable in (plan.variables.gamma, plan.variables.beta)
        )
    )


def _correction(batch: Moments, plan: Plan) -> RenormCorrection | None:
    if not plan.spec.renorm:
        return None
    return renorm_correction(
        batch,
        tf.convert_to_tensor(plan.variables.renorm_mean),
        tf.convert_to_tensor(plan.variables.renorm_stddev),
        plan.spec.epsilon,
        plan.spec.clipping,
    )


def _adjustment(inputs: Tensor, plan: Plan) -> Affine | None:
    if plan.spec.adjustment is None:
        return None
    dtype = plan.geometry.param_dtype
    scale, bias = plan.spec.adjustment(tf.shape(inputs))
    return Affine(tf.cast(scale, dtype), tf.cast(bias, dtype))


def _fit(pair: Any, plan: Plan) -> Any:
    return type(pair)(*(broadcastable(value, plan.geometry) for value in pair))


def _normalize(inputs: Tensor, moments: Moments, affine: Affine, plan: Plan) -> Tensor:
    return unfused_batch_norm(inputs, _fit(moments, plan), affine, plan.spec.epsilon, inputs.dtype)
