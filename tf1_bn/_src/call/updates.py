# SPDX-License-Identifier: Apache-2.0
"""The ops that move the averages of a call, for the program to run or for the outputs."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, Callable, Iterator, List

import numpy as np

from ..plan.spec import is_number
from ..runtime.open_scopes import innermost, opened
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, is_ref, op_of, tf, tf_version
from ..state.variables import read, value_of
from .call_plan import Outcome, Plan
from .calls import Call
from .tf1_names import named_update

UPDATE_MODES = ("collect", "in_place")
# The kind of the scopes of `updates`.
UPDATES = "updates"


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


# Builds the update ops of an outcome; `fresh` ones read the variables anew, after what they wait
# for.
UpdatesFn = Callable[[Outcome, Plan, bool], List[Operation]]


def with_updates(outcome: Outcome, plan: Plan, build: UpdatesFn) -> Call:
    """The call with its update ops, which `build` makes.

    They are for the program to run, or with `plan.in_place` for the outputs to wait for.
    """
    call = outcome.call
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


def update_ops(outcome: Outcome, plan: Plan, fresh: bool) -> list[Operation]:
    """The ops for UPDATE_OPS: that of moving_mean, then that of moving_variance.

    `fresh` ones read the variables anew, after what they wait for.
    """
    call, variables, old = outcome.call, plan.variables, outcome.moving
    # With shared reads the moments of an inactive call are the averages, so it moves nothing.
    rate = rate_of(plan.spec.momentum, call.active if fresh else None, plan)

    def move_mean() -> Operation:
        return move(variables.moving_mean, call.moments.mean, rate, old.mean, fresh)

    def move_variance() -> Operation:
        return move(variables.moving_variance, call.moments.variance, rate, old.variance, fresh)

    return built(outcome, move_mean, move_variance)


def built(outcome: Outcome, *updates: Callable[[], Operation]) -> list[Operation]:
    """Both updates, under the names that TF1 gives them."""
    if outcome.scopes is None:
        return [update() for update in updates]
    mean = outcome.call.moments.mean
    return [
        named_update(scope, update, mean) for scope, update in zip(outcome.scopes[-2:], updates)
    ]


def rate_of(momentum: Any, active: Tensor | None, plan: Plan) -> Tensor:
    """How far an average moves: 1 - momentum, and 0 where `active` is False."""
    with tf.name_scope("rate"):
        rate = update_rate(momentum, plan.geometry.param_dtype, plan.choice.fused)
        return rate_where(active, rate)


def update_rate(momentum: Any, dtype: Any, fused: bool) -> Tensor:
    """1 - momentum in `dtype`, rounded through float32 exactly as TF1 does for each kernel."""
    dtype = tf.as_dtype(dtype)
    if not is_number(momentum):
        return tf.cast(1.0 - tf.cast(momentum, tf.float32), dtype, name="update_rate")
    wide = 1.0 - float(momentum)
    rate = np.float32(1.0) - np.float32(momentum) if fused else np.float32(wide)
    return tf.constant(float(rate), dtype, name="update_rate")


def rate_where(active: Tensor | None, rate: Tensor) -> Tensor:
    """`rate`, or 0 where the bool scalar `active` is False; None counts as always active."""
    return rate if active is None else tf.where(active, rate, tf.zeros_like(rate))


def move(
    variable: Variable, value: Tensor, rate: Any, old: Tensor | None = None, fresh: bool = False
) -> Operation:
    """variable -= (variable - value) * rate, beside the variable, named `AssignMovingAvg`.

    Subtracting instead of assigning lets concurrent writers add up.

    Args:
      variable: an average.
      value: of its shape, what it moves towards.
      rate: the fraction of the way, a scalar.
      old: what the variable holds, if that has been read already.
      fresh: read the variable when the op runs, after what the op waits for, instead of sharing
        the graph's one read of it, or `old`.

    Returns:
      The op that moves it.
    """
    variable = check_assignable(variable)
    with tf.name_scope("AssignMovingAvg") as scope, tf.get_default_graph().colocate_with(variable):
        if fresh:
            old = read(variable)
        elif old is None:
            old = value_of(variable)
        delta = (old - tf.cast(value, old.dtype)) * rate
        return subtract(variable, delta, scope)


def check_assignable(variable: Variable) -> Variable:
    """The variable, if it can be moved.

    Raises:
      TypeError: it is a tensor.
    """
    if not hasattr(variable, "assign_sub") and not is_ref_tensor(variable):
        raise TypeError(
            f"a moving statistic must be a variable to be updated in training (got {variable!r}): "
            "let the custom getter return the variable, or call with `training=False`."
        )
    return variable


def subtract(variable: Variable, delta: Tensor, scope: str) -> Operation:
    """variable -= delta; on a ref variable the op is named `scope`, elsewhere it lies below it."""
    if is_ref_tensor(variable):
        return op_of(tf.assign_sub(variable, delta, use_locking=True, name=scope))
    # Without the lock concurrent writers lose parts of each other's steps on a ref variable.
    wished = {"use_locking": True, "name": _name(variable, scope), "read_value": False}
    return op_of(variable.assign_sub(delta, **_accepted(variable.assign_sub, wished)))


def assign(variable: Variable, value: Tensor, scope: str) -> Operation:
    """variable = value, named as by `subtract`, but for resource variables, too."""
    if not hasattr(variable, "assign"):
        if is_ref_tensor(variable):
            return op_of(tf.assign(variable, value, name=scope))
        # A wrapper may be able to subtract only.
        return subtract(variable, read(variable) - value, scope)
    # TF 1.15's aggregating variable refuses what differs between replicas, as names do.
    unnamed = tf_version() < (2, 0) and tf.distribute.has_strategy()
    wished = {"name": None if unnamed else scope, "read_value": False}
    return op_of(variable.assign(value, **_accepted(variable.assign, wished)))


def _name(variable: Variable, scope: str) -> str | None:
    # A resource variable names its assignment below the scope, as in TF1.
    return scope if is_ref(variable) else None


def is_ref_tensor(variable: Any) -> bool:
    return isinstance(variable, tf.Tensor) and is_ref(variable)


def _accepted(method: Any, wished: dict[str, Any]) -> dict[str, Any]:
    """The wished keywords if the method takes all; of one that takes fewer, the name alone."""
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return {}
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if open_ended or all(name in parameters for name in wished):
        return wished
    named = "name" in parameters and wished["name"] is not None
    return {"name": wished["name"]} if named else {}
