# SPDX-License-Identifier: Apache-2.0
"""The ops that move the averages of a call with renorm, which has more of them."""

from __future__ import annotations

from typing import Any

from ..kernels.renorm import batch_stddev
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, scalar, tf
from ..state.variables import read
from .call_plan import Outcome, Plan
from .tf1_names import scope_of
from .updates import assign, built, check_assignable, move, rate_of


def renorm_update_ops(outcome: Outcome, plan: Plan, fresh: bool) -> list[Operation]:
    """As `update_ops`, behind the updates of what the correction uses.

    The moving variance follows from a moving deviation of its own.
    """
    spec, variables, call = plan.spec, plan.variables, outcome.call
    rate = rate_of(spec.momentum, call.active, plan)
    stddev = batch_stddev(call.moments, spec.epsilon)

    def move_mean() -> Operation:
        return move(variables.moving_mean, call.moments.mean, rate, outcome.moving.mean, fresh)

    def move_variance() -> Operation:
        moved = move(variables.moving_stddev, stddev, rate, fresh=fresh)
        with tf.control_dependencies([moved]):
            return assign_variance(
                variables.moving_variance, variables.moving_stddev, spec.epsilon, call.active
            )

    with tf.control_dependencies(_correction_updates(outcome, stddev, plan, fresh)):
        return built(outcome, move_mean, move_variance)


def _correction_updates(
    outcome: Outcome, stddev: Tensor, plan: Plan, fresh: bool
) -> list[Operation]:
    """The ops that move the averages which renorm's correction uses."""
    variables, call = plan.variables, outcome.call
    # The correction uses the averages as they were before this step.
    users = outcome.correction or [call.outputs]
    with tf.control_dependencies(list(users)):
        rate = rate_of(plan.spec.renorm_momentum, call.active, plan)
        moved = []
        for variable, value, name in zip(
            (variables.renorm_mean, variables.renorm_stddev),
            (call.moments.mean, stddev),
            outcome.scopes or (None, None),
        ):
            with scope_of(name):
                moved.append(move(variable, value, rate, fresh=fresh))
        return moved


def assign_variance(
    moving_variance: Variable, moving_stddev: Variable, epsilon: Any, active: Tensor | None
) -> Operation:
    """moving_variance = relu(moving_stddev ** 2 - epsilon), named `AssignNewValue`.

    Must run after the update of moving_stddev, which it reads anew. Where `active` is False the
    variance keeps its value.
    """
    variable = check_assignable(moving_variance)
    with tf.name_scope("AssignNewValue") as scope, tf.get_default_graph().colocate_with(variable):
        stddev = read(moving_stddev)
        value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))
        if active is not None:
            value = tf.where(active, value, read(variable))
        return assign(variable, value, scope)
