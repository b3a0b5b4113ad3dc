# SPDX-License-Identifier: Apache-2.0
"""The ops that move the averages of a call, and who runs them: the program, or the outputs."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence

from ..kernels.moments import Moments
from ..kernels.renorm import RenormCorrection, batch_stddev
from ..runtime.graph_place import in_function
from ..runtime.open_scopes import innermost, opened
from ..runtime.tensorflow_v1 import Operation, Tensor, register_gradient, tf
from ..state.variable_kinds import assign_variance, move, rate_where, update_rate
from .call_plan import Plan
from .calls import Call
from .tf1_names import named_update, scope_of

UPDATE_MODES = ("collect", "in_place")
# The kind of the scopes of `updates`.
UPDATES = "updates"

# Part of every graph that was ever exported, so it stays as it is.
_IN_PLACE = "tf1_bn.update_mode.in_place"
_MOVED = "moved"


@contextlib.contextmanager
def updates(mode: str) -> Iterator[None]:
    """Inside, says how the layers that are called for training get their averages moved.

    With "collect" the update ops go to `tf.GraphKeys.UPDATE_OPS` and something must run them: what
    TF1 does, and what holds outside of any such scope. With "in_place" the outputs, and the
    gradients through them, can only be had after the averages have moved; no update ops are
    collected, and `layer.updates` gets none. That is the way where no op from outside can run the
    updates: in the branches of `tf.cond`, in `tf.while_loop`, `tf.map_fn` and the cells of
    `tf.nn.dynamic_rnn`.

    In place, every run that needs the outputs for training moves the averages, an evaluation of the
    training loss included, and a loop moves them once an iteration. An iteration starts from what
    the one before left if its inputs depend on the other's outputs, as in a recurrent cell; give
    the others `parallel_iterations=1`, or steps of the average can start from the same old value.

    The layers are those of `tf1_bn.batch_normalization`, `tf1_bn.BatchNormalization` and
    `tf1_bn.contrib.batch_norm`. One that is not `trainable` moves nothing in either mode.

    Args:
      mode: "collect" or "in_place".

    Raises:
      ValueError: `mode` is none of these.
    """
    if mode not in UPDATE_MODES:
        raise ValueError(f"`mode` must be one of {list(UPDATE_MODES)} (got {mode!r}).")
    with opened(UPDATES, mode):
        yield


def in_place() -> bool:
    """Whether calls move the averages with their outputs."""
    return bool(innermost(UPDATES) == "in_place")


class Outcome(NamedTuple):
    """A call without its updates, and what these have to be told.

    Attributes:
      call: what has been built of it.
      moving: what the averages hold when the call runs.
      correction: that of renorm, `[channels]` each, where no conditional hides it.
      scopes: the full names that TF1 would give the two updates, after those of renorm; None where
        they come by themselves.
    """

    call: Call
    moving: Moments
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
    # With shared reads the moments of an inactive call are the averages, so it moves nothing.
    select = fresh or spec.renorm
    rate = _rate(spec.momentum, call.active if select else None, plan)

    def move_mean() -> Operation:
        old = outcome.moving.mean
        return move(variables.moving_mean, call.moments.mean, rate, old, fresh)

    def move_variance() -> Operation:
        if not spec.renorm:
            old, batch = outcome.moving.variance, call.moments.variance
            return move(variables.moving_variance, batch, rate, old, fresh)
        moved = move(variables.moving_stddev, stddev, rate, fresh=fresh)
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
                moved.append(move(variable, value, rate, fresh=fresh))
        return moved


def _rate(momentum: Any, active: Tensor | None, plan: Plan) -> Tensor:
    with tf.name_scope("rate"):
        rate = update_rate(momentum, plan.geometry.param_dtype, plan.choice.fused)
        return rate_where(active, rate)


def after_updates(outputs: Tensor, moves: Sequence[Operation], mean: Tensor) -> Tensor:
    """`outputs`, to be had only when `moves` have run; the same holds of the gradient through them.

    Without the gradient's part, a train op whose loss is linear in the outputs would run nothing of
    them, and the averages would stay. The gradient waits for `tf.negative(mean)`: only tensors
    reach the gradient of a loop, and TensorFlow skips identities and constants.

    Args:
      outputs: of any shape.
      moves: the ops that move the averages.
      mean: of the batch, of the shape of the parameters.

    Returns:
      A tensor of the shape and dtype of `outputs`.
    """
    with tf.name_scope("in_place"):
        with tf.control_dependencies(moves):
            token = tf.negative(mean, name=_MOVED)
        with tf.control_dependencies([token]):
            if in_function():
                # What is saved with a function must have no gradient of ours.
                return tf.identity(outputs)
            with tf.get_default_graph().gradient_override_map({"Identity": _IN_PLACE}):
                return tf.identity(outputs)


@register_gradient(_IN_PLACE)
def _gradient_after_updates(op: Operation, upstream: Tensor) -> Tensor:
    # Read from control inputs: as an input of the op, TF 1.15's optimizer loses the dependency.
    name = f"{op.name.rpartition('/')[0]}/{_MOVED}"
    moved = [waited.outputs[0] for waited in op.control_inputs if waited.name == name]
    with tf.control_dependencies([tf.identity(tensor) for tensor in moved]):
        return tf.identity(upstream)
