# SPDX-License-Identifier: Apache-2.0
"""What decides on the phase, and which value of it gives inference."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

import numpy as np

from ...discovery.reading.nodes import Node, Tensor, View, named
from ...discovery.reading.tracing import VARIABLES, back
from .net import Net, constant, dtype_of, free_name, redirected, with_nodes
from .values import Values

_NUMPY: dict[int, Any] = {
    **{1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8},
    **{9: np.int64, 10: np.bool_, 19: np.float16},
}
_DEEPEST = 20


class Setting(NamedTuple):
    """A tensor of the graph, and the value that it is given for good."""

    tensor: Tensor
    value: Any

    def __str__(self) -> str:
        return f"{named(self.tensor)} = {self.value}"


def solved(view: View, switch: Tensor, wanted: bool) -> Setting:
    """What to set so that the bool `switch` is `wanted`: what is fed, where that can be told."""
    values, tensor = Values(view.nodes), switch
    goal: Any = wanted
    for _ in range(_DEEPEST):
        tensor = back(view, tensor)
        node = view.node(tensor)
        if node.op == "LogicalNot":
            tensor, goal = node.inputs[0], not goal
            continue
        asked = _asked(node, values, goal)
        if asked is None:
            break
        tensor, goal = asked
        # A number is set where it is fed, not where it is looked at.
        tensor = back(view, tensor)
        break
    kind = _NUMPY.get(dtype_of(view.node(tensor)) or 0)
    if kind is None or view.node(tensor).op == "_Arg":
        return Setting(switch, wanted)
    return Setting(tensor, kind(goal).item())


def _asked(node: Node, values: Values, goal: bool) -> tuple[Tensor, Any] | None:
    """What a comparison looks at, and a number for which it says `goal`."""
    if node.op not in ("Equal", "NotEqual", "Greater", "Less"):
        return None
    known = [values.of(each) for each in node.inputs]
    place = 0 if known[0] is None else 1
    limit = known[1 - place]
    if known[place] is not None or limit is None or np.size(limit) != 1:
        return None
    number = np.ravel(limit)[0]
    if node.op in ("Equal", "NotEqual"):
        same = goal == (node.op == "Equal")
        return node.inputs[place], number if same else (1 if number == 0 else 0)
    above = goal == ((node.op == "Greater") == (place == 0))
    return node.inputs[place], number + 1 if above else (0 if number > 0 else number - 1)


def with_settings(net: Net, settings: Iterable[Setting]) -> Net:
    """The graph in which those tensors are constants.

    Raises:
      ValueError: a tensor is no number.
    """
    through = {}
    for tensor, value in settings:
        node = net.nodes[tensor[0]]
        dtype = dtype_of(node) or 0
        if dtype not in _NUMPY:
            raise ValueError(f"{named(tensor)} cannot be set: it is no number.")
        array: Any = np.asarray(value, _NUMPY[dtype])
        if node.op in VARIABLES:
            net = with_nodes(net, [constant(net, node.name, array, dtype)])
            continue
        held = constant(net, free_name(net, f"{node.name}/inference"), array, dtype)
        net = with_nodes(net, [held])
        through[tensor] = (held.name, 0)
    return redirected(net, through)
