# SPDX-License-Identifier: Apache-2.0
"""Averages that ops built here cannot move, since they belong to a graph around."""

from __future__ import annotations

from typing import Any

from ..runtime.graph_place import outside_of_bodies
from ..runtime.tensorflow_v1 import Variable, is_ref, tf

_OUT_OF_REACH = (
    "The averages of a ref variable cannot be moved from inside of a function or of a branch or "
    "body of control flow v2 (got {name!r}, `training`={training!r}): make it a resource variable, "
    "by `tf.variable_scope(..., use_resource=True)` around the first call or by "
    "tf.enable_resource_variables()."
)


def full_name(variable: Variable, name: str) -> str:
    """Its full name without an output's number; wrappers that have none are `name` in the scope."""
    known = getattr(variable, "name", None)
    if isinstance(known, str):
        return known.split(":")[0]
    scope = tf.get_variable_scope().name
    return f"{scope}/{name}" if scope else name


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


def check_future_reach(training: Any) -> None:
    """As `check_reach` of the moving mean in this scope, which may not exist yet.

    To be asked where `nobody_runs` what is built. Says nothing where a custom getter or a strategy
    decides about the kind.

    Raises:
      TypeError: it is, or would become, such a ref variable.
    """
    scope = tf.get_variable_scope()
    if scope.custom_getter is not None or tf.distribute.has_strategy():
        return
    graph = outside_of_bodies(tf.get_default_graph())
    full = f"{scope.name}/moving_mean" if scope.name else "moving_mean"
    try:
        becomes_ref = graph.get_operation_by_name(full).type == "VariableV2"
    except KeyError:
        wished = scope.use_resource
        becomes_ref = not (tf.resource_variables_enabled() if wished is None else wished)
    if becomes_ref:
        raise TypeError(_OUT_OF_REACH.format(name=full, training=training))
