# SPDX-License-Identifier: Apache-2.0
"""The moving statistics of `contrib.batch_norm` and the ways to move them."""

from __future__ import annotations

from typing import Any, Callable, List, Sequence

from ..call import tf1_names
from ..call.call_plan import Plan
from ..call.calls import Call
from ..call.core import normalize
from ..call.in_place import after_updates
from ..call.stranded_updates import warn_of_stranded
from ..call.updates import (
    assign,
    check_assignable,
    is_ref_tensor,
    move,
    rate_where,
    update_rate,
    with_updates,
)
from ..kernels.batch import has_values, moments_or
from ..kernels.moments import Moments, MomentsFn, batch_moments
from ..runtime.graph_place import is_stranded, note_call
from ..runtime.tensorflow_v1 import (
    Operation,
    Tensor,
    Variable,
    is_ref,
    loses_gradient_in_cond,
    op_of,
    tf,
)
from ..state.reach import full_name
from ..state.variables import BatchNormVariables, read, value_of

# Takes the moments of a batch, when they count (a scalar bool tensor, None for always), and whether
# the ops are to read the averages anew, once the moments are there.
MoveFn = Callable[[Moments, Any, bool], List[Operation]]


def moves_of(plan: Plan, shadow: Sequence[Variable], has_weight: Tensor | None) -> MoveFn:
    """The function that builds the ops which move mean and variance, in this order.

    Args:
      plan: of the call.
      shadow: what debiases the mean, as `create_shadow` makes it; empty where it is not debiased.
      has_weight: a scalar bool tensor, False for a batch without any weight; None if all have.
    """
    variables = plan.variables

    def moves(batch: Moments, active: Tensor | None, fresh: bool) -> list[Operation]:
        if has_weight is not None:
            active = has_weight if active is None else tf.logical_and(active, has_weight)
        with tf.name_scope("rate"):
            full_rate = update_rate(plan.spec.momentum, plan.geometry.param_dtype, fused=False)
            rate = rate_where(active, full_rate)
        with tf.control_dependencies(list(batch) if fresh else []):
            if shadow:
                first = _move_debiased(variables.moving_mean, batch.mean, full_rate, shadow, active)
            else:
                first = move(variables.moving_mean, batch.mean, rate, fresh=fresh)
            return [first, move(variables.moving_variance, batch.variance, rate, fresh=fresh)]

    return moves


def collected_updates(
    inputs: Tensor, training: Any, plan: Plan, moves: MoveFn, collections: Any
) -> Tensor:
    """The outputs; the updates go to `collections`, and something must run them."""
    call = _normalized(inputs, training, plan, moves)
    variables = plan.variables
    collected = [_moved(*pair) for pair in zip(call.updates, variables[2:4])]
    for tensor in collected:
        tf.add_to_collections(collections, tensor)
    note_call(call._replace(updates=tuple(tensor.op for tensor in collected)))
    if any(is_stranded(tensor.op) for tensor in collected):
        warn_of_stranded(_layer_name(variables))
    return call.outputs


def after_outputs(inputs: Tensor, training: Any, plan: Plan, moves: MoveFn) -> Tensor:
    """Outputs to be had once the updates have run, which wait for what computes them.

    As of a layer inside of `tf1_bn.updates("in_place")`.
    """
    call = _normalized(inputs, training, plan._replace(in_place=True), moves)
    outputs = call.outputs
    if call.updates:
        outputs = after_updates(outputs, call.updates, call.moments.mean)
    note_call(call._replace(outputs=outputs))
    return outputs


def _normalized(inputs: Tensor, training: Any, plan: Plan, moves: MoveFn) -> Call:
    """The call with contrib's own updates, which are not collected yet."""
    return with_updates(
        normalize(inputs, training, plan),
        plan,
        lambda outcome, _, fresh: moves(outcome.call.moments, outcome.call.active, fresh),
    )


def before_outputs(inputs: Tensor, training: Any, plan: Plan, moves: MoveFn) -> Tensor:
    """Outputs that, in training, move the averages before they can be had."""
    outputs = _with_moves(inputs, training, plan, moves)
    active = None if training is True else training
    note_call(Call(inputs, training, outputs, plan.variables, plan.choice, active=active))
    return outputs


def _with_moves(inputs: Tensor, training: Any, plan: Plan, moves: MoveFn) -> Tensor:
    """The outputs; in training, those and their gradients wait for the ops of `moves`."""

    def after_moves(seen: Tensor, training: Any) -> Tensor:
        call = normalize(seen, training, plan).call
        with tf.control_dependencies(moves(call.moments, call.active, True)):
            return tf.identity(call.outputs)

    # The conditionals of control flow v2 cannot assign to ref variables.
    refs_under_v2 = tf.control_flow_v2_enabled() and is_ref(plan.variables.moving_mean)
    if not isinstance(training, bool) and refs_under_v2:
        return after_moves(inputs, training)
    if not plan.choice.fused:
        # The moments wait for the updates, so that gradients alone bring them about, too.
        moving = plan._replace(moments_fn=_moving_moments(plan, moves))
        return normalize(inputs, training, moving).call.outputs

    widen = loses_gradient_in_cond(inputs.dtype) and not isinstance(training, bool)
    seen = tf.cast(inputs, tf.float32) if widen else inputs

    def train() -> Tensor:
        return after_moves(seen, True)

    def infer() -> Tensor:
        return normalize(seen, False, plan).call.outputs

    if isinstance(training, bool):
        return train() if training else infer()
    # TF1 had a conditional for the kernel before this one, and people fetch by name.
    tf1_names.conditionals(1)
    if not widen:
        return tf.cond(training, train, infer)
    outputs = tf.cond(training, train, infer, name="wide_cond")
    return tf1_names.cast_output(outputs, inputs.dtype, *tf1_names.conditionals(1))


def _moving_moments(plan: Plan, moves: MoveFn) -> MomentsFn:
    """The moments of the plan, to be had once the averages have moved."""

    def moments(inputs: Tensor, axes: Sequence[int], keep_dims: bool) -> Moments:
        mean, variance = (plan.moments_fn or batch_moments)(inputs, axes, keep_dims)
        dtype = plan.geometry.param_dtype
        batch = Moments(tf.cast(mean, dtype), tf.cast(variance, dtype))
        filled = has_values(inputs, plan.geometry)
        batch = moments_or(batch, moving_moments(plan.variables), filled)
        with tf.control_dependencies(moves(batch, filled, True)):
            return Moments(tf.identity(batch.mean), tf.identity(batch.variance))

    return moments


def _moved(update: Operation, variable: Variable) -> Tensor:
    """What the variable holds once `update` has run: contrib collected tensors, and no ops."""
    if update.outputs:
        return update.outputs[0]
    with tf.name_scope(f"{update.name}/"), tf.control_dependencies([update]):
        return tf.identity(variable.read_value(), name="moved")


def _move_debiased(
    variable: Variable,
    towards: Tensor,
    rate: Tensor,
    shadow: Sequence[Variable],
    active: Tensor | None,
) -> Operation:
    """Moves the biased average, which starts at 0, and puts its unbiased value into the variable.

    After n updates the biased average has weight 1 - (1 - rate) ** n altogether
    (arXiv 1412.6980, section 3). Where `active` is False nothing changes.
    """
    variable, biased, local_step = map(check_assignable, (variable, *shadow))
    with tf.name_scope("AssignMovingAvg") as scope, tf.get_default_graph().colocate_with(variable):
        old = read(biased)
        step = rate_where(active, tf.ones([], old.dtype))
        delta = (old - tf.cast(towards, old.dtype)) * rate_where(active, rate)
        moved = [op_of(tf.assign_sub(biased, delta)), _count_up(local_step, step)]
        with tf.control_dependencies(moved):
            weight = 1.0 - tf.pow(1.0 - rate, read(local_step))
            value = read(biased) / weight
            if active is not None:
                value = tf.where(active, value, read(variable))
            return assign(variable, value, scope)


def _layer_name(variables: BatchNormVariables) -> str:
    return full_name(variables.moving_mean, "moving_mean").rpartition("/")[0]


def moving_moments(variables: BatchNormVariables) -> Moments:
    """What the averages hold, `[channels]` each."""
    return Moments(value_of(variables.moving_mean), value_of(variables.moving_variance))


def _count_up(variable: Variable, step: Tensor) -> Operation:
    """variable += step, unnamed."""
    counts = hasattr(variable, "assign_add") or is_ref_tensor(variable)
    return op_of(tf.assign_add(variable, step) if counts else tf.assign_sub(variable, -step))
