# SPDX-License-Identifier: Apache-2.0
"""The ops that move the averages of a call that has been normalized."""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple

from ..kernels.renorm import RenormCorrection, batch_stddev
from ..runtime.tensorflow_v1 import Operation, Tensor, tf
from ..state.moving_average import MovingAverage, assign_variance, move, rate_where, update_rate
from .call_plan import Plan, State
from .calls import Call
from .tf1_names import named_update, scope_of


class Outcome(NamedTuple):
    """A call without its updates, and what these have to be told.

    Attributes:
      call: what has been built of it.
      state: what the variables hold.
      correction: that of renorm, `[channels]` each, where no conditional hides it.
      scopes: the full names that TF1 would give the two updates, after those of renorm; None where
        they come by themselves.
    """

    call: Call
    state: State
    correction: RenormCorrection | None = None
    scopes: list[str] | None = None


# Builds the update ops of an outcome; `fresh` ones read the variables anew, after what they wait
# for.
UpdatesFn = Callable[[Outcome, Plan, bool], List[Operation]]


def with_updates(outcome: Outcome, plan: Plan, build: UpdatesFn | None = None) -> Call:
    """The second half of `apply_batch_norm`: the update ops of what `normalize` found.

    They are for the program to run, or with `plan.in_place` for the outputs to wait for.
    """
    call, build = outcome.call, build or _update_ops
    if call.active is False or not plan.moves:
        return call

    def updates_again(towards: Any = call.moments, when: Any = call.active) -> list[Operation]:
        other = call._replace(moments=towards, active=when)
        return build(outcome._replace(call=other, scopes=None), plan, True)

    if plan.in_place:
        # Wait for the outputs: in a loop they depend on the previous iteration's write.
        with tf.control_dependencies([call.outputs]):
            updates = updates_again()
    else:
        updates = build(outcome, plan, False)
    return call._replace(
        updates=tuple(updates), updates_again=updates_again, collected=not plan.in_place
    )


def _update_ops(outcome: Outcome, plan: Plan, fresh: bool) -> list[Operation]:
    """The ops for UPDATE_OPS: that of moving_mean, then that of moving_variance.

    `fresh` ones read the variables anew, after what they wait for.
    """
    spec, variables, call = plan.spec, plan.variables, outcome.call
    # Without it an inactive call has the old averages as its moments, so it changes nothing.
    select = fresh or spec.renorm
    rate = _rate(spec.momentum, call.active if select else None, plan)

    def move_mean() -> Operation:
        old = outcome.state.moving.mean
        return move(MovingAverage(variables.moving_mean, call.moments.mean, rate, old), fresh)

    def move_variance() -> Operation:
        if not spec.renorm:
            old, batch = outcome.state.moving.variance, call.moments.variance
            return move(MovingAverage(variables.moving_variance, batch, rate, old), fresh)
        moved = move(MovingAverage(variables.moving_stddev, stddev, rate), fresh)
        with tf.control_dependencies([moved]):
            return assign_variance(
                variables.moving_variance, variables.moving_stddev, spec.epsilon, call.active
            )

    stddev = batch_stddev(call.moments, spec.epsilon) if spec.renorm else None
    first = [] if stddev is None else _renorm_updates(outcome, stddev, plan, fresh)
    with tf.control_dependencies(first):
        if outcome.scopes is None:
            return [move_mean(), move_variance()]
        return [
            named_update(scope, update, call.moments.mean)
            for scope, update in zip(outcome.scopes[-2:], (move_mean, move_variance))
        ]


def _renorm_updates(outcome: Outcome, stddev: Tensor, plan: Plan, fresh: bool) -> list[Operation]:
    """The ops that move the averages which renorm's correction uses."""
    variables, call = plan.variables, outcome.call
    # The correction uses the averages as they were before this step.
    users = outcome.correction or [call.outputs]
    with tf.control_dependencies(list(users)):
        rate = _rate(plan.spec.renorm_momentum, call.active, plan)
        moved = []
        for variable, value, name in zip(
            (variables.renorm_mean, variables.renorm_stddev),
            (call.moments.mean, stddev),
            outcome.scopes or (None, None),
        ):
            with scope_of(name):
                moved.append(move(MovingAverage(variable, value, rate), fresh))
        return moved


def _rate(momentum: Any, active: Tensor | None, plan: Plan) -> Tensor:
    with tf.name_scope("rate"):
        rate = update_rate(momentum, plan.geometry.param_dtype, plan.choice.fused)
        return rate_where(active, rate)
