# SPDX-License-Identifier: Apache-2.0
"""Reads and moves variables, of whatever kind `get_variable` or a custom getter gave."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..plan.spec import is_number
from ..runtime.graph_place import nobody_runs, outside_of_bodies
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, op_of, scalar, tf, tf_version

_OUT_OF_REACH = (
    "The averages of a ref variable cannot be moved from inside of a function or of a branch or "
    "body of control flow v2 (got {name!r}, `training`={training!r}): make it a resource variable, "
    "by `tf.variable_scope(..., use_resource=True)` around the first call or by "
    "tf.enable_resource_variables()."
)


def subtract(variable: Variable, delta: Tensor, scope: str) -> Operation:
    """variable -= delta; on a ref variable the op is named `scope`, elsewhere it lies below it."""
    if _is_ref_tensor(variable):
        return op_of(tf.assign_sub(variable, delta, use_locking=True, name=scope))
    # Without the lock concurrent writers lose parts of each other's steps on a ref variable.
    wished = {"use_locking": True, "name": _name(variable, scope), "read_value": False}
    return op_of(variable.assign_sub(delta, **_accepted(variable.assign_sub, wished)))


def assign(variable: Variable, value: Tensor, scope: str) -> Operation:
    """variable = value, named as by `subtract`, but for resource variables, too."""
    if not hasattr(variable, "assign"):
        if _is_ref_tensor(variable):
            return op_of(tf.assign(variable, value, name=scope))
        # A wrapper may be able to subtract only.
        return subtract(variable, read(variable) - value, scope)
    # TF 1.15's aggregating variable refuses what differs between replicas, as names do.
    unnamed = tf_version() < (2, 0) and tf.distribute.has_strategy()
    wished = {"name": None if unnamed else scope, "read_value": False}
    return op_of(variable.assign(value, **_accepted(variable.assign, wished)))


def count_up(variable: Variable, step: Tensor) -> Operation:
    """variable += step, unnamed."""
    counts = hasattr(variable, "assign_add") or _is_ref_tensor(variable)
    return op_of(tf.assign_add(variable, step) if counts else tf.assign_sub(variable, -step))


def read(variable: Variable) -> Tensor:
    """What the variable holds when the op runs, after what the op waits for."""
    if hasattr(variable, "read_value"):
        return tf.convert_to_tensor(variable.read_value())
    return tf.identity(variable)


def value_of(variable: Variable) -> Tensor:
    """What the variable holds: the graph's one read of it, where there is one."""
    value = tf.convert_to_tensor(variable)
    return tf.identity(value) if is_ref(value) else value


def check_assignable(variable: Variable) -> Variable:
    """The variable, if it can be moved.

    Raises:
      TypeError: it is a tensor.
    """
    if not hasattr(variable, "assign_sub") and not _is_ref_tensor(variable):
        raise TypeError(
            f"a moving statistic must be a variable to be updated in training (got {variable!r}): "
            "let the custom getter return the variable, or call with `training=False`."
        )
    return variable


def full_name(variable: Variable, name: str) -> str:
    """Its full name without an output's number; wrappers that have none are `name` in the scope."""
    known = getattr(variable, "name", None)
    if isinstance(known, str):
        return known.split(":")[0]
    scope = tf.get_variable_scope().name
    return f"{scope}/{name}" if scope else name


def beside(variable: Variable) -> Any:
    """A context whose ops are placed with the variable."""
    return tf.get_default_graph().colocate_with(variable)


def made_beside(variable: Variable) -> Any:
    """A context whose variables are placed with this one, as the strategy in force does it."""
    return tf.distribute.get_strategy().extended.colocate_vars_with(variable)


def parts_of(variable: Variable) -> list[Variable]:
    """The parts of a partitioned variable; a list of itself for any other."""
    is_partitioned = hasattr(variable, "as_tensor") and hasattr(variable, "__iter__")
    return list(variable) if is_partitioned else [variable]


def is_trainable(variable: Variable) -> bool:
    """Whether it says so itself; a plain tensor never is."""
    try:
        return bool(getattr(variable, "trainable", False))
    except NotImplementedError:
        # TF 1.15's variable of a CentralStorageStrategy does not tell.
        return any(variable is trained for trained in tf.trainable_variables())


def is_ref(variable: Variable) -> bool:
    """Whether it is a ref variable, TF1's default, which only ops of its own graph can assign."""
    dtype = getattr(variable, "dtype", None)
    return dtype is not None and bool(dtype != dtype.base_dtype)


def is_out_of_reach(variable: Variable) -> bool:
    """Whether it is a ref variable of a graph around the function, branch or body built here."""
    here = tf.get_default_graph()
    home = getattr(variable, "graph", None)
    if home is None:
        return is_ref(variable) and type(here) is not tf.Graph
    return is_ref(variable) and home is not here


def check_reach(variable: Variable, training: Any) -> None:
    """Checks that ops built here can assign to the variable.

    Raises:
      TypeError: they cannot.
    """
    if is_out_of_reach(variable):
        raise TypeError(
            _OUT_OF_REACH.format(name=full_name(variable, "moving_mean"), training=training)
        )


def check_future_reach(name: str, training: Any) -> None:
    """As `check_reach` of the variable `name` of this scope, which may not exist yet.

    Says nothing where a custom getter or a strategy decides about the kind.

    Raises:
      TypeError: it is, or would become, such a ref variable.
    """
    scope = tf.get_variable_scope()
    if not nobody_runs() or scope.custom_getter is not None or tf.distribute.has_strategy():
        return
    graph = outside_of_bodies(tf.get_default_graph())
    full = f"{scope.name}/{name}" if scope.name else name
    try:
        becomes_ref = graph.get_operation_by_name(full).type == "VariableV2"
    except KeyError:
        wished = scope.use_resource
        becomes_ref = not (tf.resource_variables_enabled() if wished is None else wished)
    if becomes_ref:
        raise TypeError(_OUT_OF_REACH.format(name=full, training=training))


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
    with tf.name_scope("AssignMovingAvg") as scope, beside(variable):
        if fresh:
            old = read(variable)
        elif old is None:
            old = value_of(variable)
        delta = (old - tf.cast(value, old.dtype)) * rate
        return subtract(variable, delta, scope)


def assign_variance(
    moving_variance: Variable, moving_stddev: Variable, epsilon: Any, active: Tensor | None
) -> Operation:
    """moving_variance = relu(moving_stddev ** 2 - epsilon), named `AssignNewValue`.

    Must run after the update of moving_stddev, which it reads anew. Where `active` is False the
    variance keeps its value.
    """
    variable = check_assignable(moving_variance)
    with tf.name_scope("AssignNewValue") as scope, beside(variable):
        stddev = read(moving_stddev)
        value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))
        if active is not None:
            value = tf.where(active, value, read(variable))
        return assign(variable, value, scope)


def _name(variable: Variable, scope: str) -> str | None:
    # A resource variable names its assignment below the scope, as in TF1.
    return scope if is_ref(variable) else None


def _is_ref_tensor(variable: Any) -> bool:
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
