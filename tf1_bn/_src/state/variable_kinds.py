# SPDX-License-Identifier: Apache-2.0
"""What is asked of a variable, whatever kind of it `get_variable` or a custom getter gave."""

from __future__ import annotations

import inspect
from typing import Any

from ..runtime.graph_place import V2_BODIES
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, op_of, tf, tf_version

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
    scope, graph = tf.get_variable_scope(), tf.get_default_graph()
    if not nobody_runs() or scope.custom_getter is not None or tf.distribute.has_strategy():
        return
    while type(graph).__name__ in V2_BODIES:
        graph = graph.outer_graph
    full = f"{scope.name}/{name}" if scope.name else name
    try:
        becomes_ref = graph.get_operation_by_name(full).type == "VariableV2"
    except KeyError:
        wished = scope.use_resource
        becomes_ref = not (tf.resource_variables_enabled() if wished is None else wished)
    if becomes_ref:
        raise TypeError(_OUT_OF_REACH.format(name=full, training=training))


def nobody_runs() -> bool:
    """Whether update ops built here are beyond everybody's reach, if nothing collects them.

    That is so in the branches and bodies of control flow v2, unless they stand in a `tf.function`,
    which runs its ops itself.
    """
    graph = tf.get_default_graph()
    if type(graph) is tf.Graph:
        return False
    while type(graph).__name__ in V2_BODIES:
        graph = graph.outer_graph
    return type(graph) is tf.Graph


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
