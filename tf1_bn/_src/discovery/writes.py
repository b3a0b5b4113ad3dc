# SPDX-License-Identifier: Apache-2.0
"""The ops that move averages: what they write, and by which batch."""

from __future__ import annotations

from typing import NamedTuple

from .reading.nodes import Node, Tensor, View
from .reading.statistics import origin
from .reading.tracing import MERGES, VARIABLES, Parameter, back, inside_conditional, parameter

_ASSIGNMENTS = (
    *("Assign", "AssignSub", "AssignAdd"),
    *("AssignVariableOp", "AssignSubVariableOp", "AssignAddVariableOp"),
)


class Write(NamedTuple):
    """An op that writes a variable with numbers made of a batch, and of itself.

    Attributes:
      op: its name.
      variable: what it writes.
      roots: the statistics of a batch that it depends on.
      source: without roots, the variable of whose square it is made, as renorm's variance is.
      inside: whether it stands in a conditional.
    """

    op: str
    variable: Parameter
    roots: frozenset[Tensor]
    source: Parameter | None
    inside: bool


def writes_of(view: View) -> list[Write]:
    """All of them, in the order of the graph; initializers and restores are none."""
    found = []
    for node in list(view.nodes.values()):
        if node.op in _ASSIGNMENTS and len(node.inputs) >= 2:
            write = _write(view, node)
            if write is not None:
                found.append(write)
    return found


def _write(view: View, node: Node) -> Write | None:
    target = view.node(back(view, node.inputs[0]))
    if target.op not in VARIABLES:
        return None
    known = origin(view, node.inputs[1])
    own = Parameter(target.name, False)
    source = None if known.reductions else _squared(view, node.inputs[1])
    if not known.reductions and (source is None or source == own):
        return None
    inside = inside_conditional(view, node)
    return Write(node.name, own, known.reductions, source, inside)


def assigned_from(view: View, source: Parameter) -> Parameter | None:
    """The variable that is set to something made of `source`."""
    for node in view.nodes.values():
        if node.op in ("Assign", "AssignVariableOp") and len(node.inputs) >= 2:
            target = Parameter(view.node(back(view, node.inputs[0])).name, False)
            if target != source and source in origin(view, node.inputs[1]).parameters:
                return target
    return None


def _squared(view: View, tensor: Tensor) -> Parameter | None:
    """The variable whose square `tensor` is made of, by sums and limits."""
    waiting, most = [tensor], 24
    while waiting and most:
        most -= 1
        node = view.node(back(view, waiting.pop()))
        if node.op in ("Square", "Mul"):
            held = [parameter(view, part) for part in node.inputs]
            if held[0] is not None and held[0] == held[-1]:
                return held[0]
            waiting.extend(node.inputs)
        elif node.op in ("Sub", "Add", "AddV2", "Relu", "Maximum", *MERGES):
            waiting.extend(node.inputs)
    return None
