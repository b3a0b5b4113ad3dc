# SPDX-License-Identifier: Apache-2.0
"""What is said of update ops inside conditionals and loops, which no op from outside can run."""

from __future__ import annotations

import warnings
from typing import Any, Iterable, Iterator

from ..runtime.tensorflow_v1 import Operation, Tensor
from .calls import Call

_ADVICE = (
    "inside of a tf.cond, tf.while_loop, tf.map_fn or RNN cell, where no op from outside can run "
    'them. Build the call inside of `with tf1_bn.updates("in_place"):`, which moves the averages '
    "with the output"
)
# Of control flow v2.
_BODIES = ("then_branch", "else_branch", "branches", "body")


def warn_of_stranded(layer_name: str) -> None:
    """Warns that the update ops of a layer were made in a conditional or a loop."""
    warnings.warn(
        f"The update ops of {layer_name!r} stand {_ADVICE}; or run them in there, by "
        "tf.control_dependencies.",
        UserWarning,
        stacklevel=2,
    )


def check_updates_can_run(loss: Tensor, calls: Iterable[Call], needed: set[Operation]) -> None:
    """Checks that the train op of `loss` can run the updates of each call that `loss` is made of.

    Args:
      loss: what is trained.
      calls: those of its graph and the graphs of functions in it.
      needed: the ops of its graph that it depends on.

    Raises:
      ValueError: it cannot.
    """
    bodies = _bodies(needed)
    for call in calls:
        graph = call.outputs.graph
        if graph is loss.graph:
            # A loss that stands in there as well may be in the same place.
            inside = call.outputs.op in needed and graph.is_fetchable(loss.op)
            stranded = inside and not all(map(graph.is_fetchable, call.updates))
        else:
            stranded = _outermost_body(graph, loss.graph) in bodies
        if stranded:
            raise ValueError(
                f"`loss` depends on {call.outputs.name!r}, whose update ops stand {_ADVICE} "
                f"(got {loss!r})."
            )


def _outermost_body(graph: Any, outer: Any) -> str:
    """The name of the function in `outer` that `graph` is part of; of none if it is in another."""
    name = ""
    while graph is not None and graph is not outer:
        name, graph = getattr(graph, "name", ""), getattr(graph, "outer_graph", None)
    return name if graph is outer else ""


def _bodies(operations: Iterable[Operation]) -> set[str]:
    return {function.name for op in operations for function in _functions(op)}


def _functions(op: Operation) -> Iterator[Any]:
    for name in _BODIES:
        if name in op.node_def.attr:
            given = op.get_attr(name)
            yield from given if isinstance(given, list) else [given]
