# SPDX-License-Identifier: Apache-2.0
"""Conditionals that are decided: the branch that runs in their place, the other one gone."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...discovery.reading.nodes import Node, Tensor, shape_of
from .net import INT32, Net, constant, free_name, redirected, with_nodes
from .values import Values

_SWITCHES, _MERGES = ("Switch", "RefSwitch"), ("Merge", "RefMerge")


def decided(net: Net) -> Net:
    """The graph without conditionals whose predicate is a constant, of either control flow."""
    values = Values(net.nodes, defaults=True)
    chosen = {
        node.name: predicate
        for node in net.nodes.values()
        for predicate in [_predicate(node, values)]
        if predicate is not None
    }
    alive = _alive(net, chosen)
    read = {each for node in net.nodes.values() for each in node.inputs}
    through: dict[Tensor, Tensor] = {}
    gone: set[str] = {name for name in net.nodes if name not in alive}
    for name in alive:
        node = net.nodes[name]
        if node.op in _MERGES:
            live = [
                place
                for place, each in enumerate(node.inputs)
                if _reaches(net, each, alive, chosen)
            ]
            if len(live) != 1:
                continue
            through[(name, 0)] = node.inputs[live[0]]
            if (name, 1) in read:
                index = constant(net, free_name(net, f"{name}/index"), np.int32(live[0]), INT32)
                net = with_nodes(net, [index])
                through[(name, 1)] = (index.name, 0)
        elif name not in chosen or not _took(net, node, chosen[name], through):
            continue
        gone.add(name)
    net = net._replace(nodes={name: node for name, node in net.nodes.items() if name not in gone})
    return redirected(net, through)


def _predicate(node: Node, values: Values) -> bool | None:
    """What is decided at a conditional op; None where it is none, or open."""
    place = {"Select": 0, "SelectV2": 0, "_If": -1, "Switch": 1, "RefSwitch": 1}.get(node.op)
    if place is None:
        return None
    known = values.of(node.inputs[place])
    return bool(np.ravel(known)[0]) if known is not None and np.size(known) == 1 else None


def _took(net: Net, node: Node, predicate: bool, through: dict[Tensor, Tensor]) -> bool:
    """Notes what stands in place of a decided op's outputs; whether something can."""
    if node.op in _SWITCHES:
        through[(node.name, int(predicate))] = node.inputs[0]
    elif node.op == "_If":
        count = (len(node.inputs) - 1) // 2
        for place in range(count):
            through[(node.name, place)] = node.inputs[place + count * predicate]
    else:
        taken = node.inputs[1 if predicate else 2]
        if node.op == "SelectV2":
            # The branch that is not taken may be the one that gives the result its shape.
            view = net.view()
            if shape_of(view, (node.name, 0)) != shape_of(view, taken):
                return False
        through[(node.name, 0)] = taken
    return True


def _reaches(net: Net, tensor: Tensor, alive: set[str], chosen: dict[str, Any]) -> bool:
    name, place = tensor
    decided_switch = name in chosen and net.nodes[name].op in _SWITCHES
    return name in alive and (not decided_switch or place == int(chosen[name]))


def _alive(net: Net, chosen: dict[str, Any]) -> set[str]:
    """The nodes that run if all are asked for: none behind the branch that is not taken."""
    readers: dict[str, list[str]] = {}
    for node in net.nodes.values():
        for before in (*(each[0] for each in node.inputs), *node.controls):
            readers.setdefault(before, []).append(node.name)
    alive: set[str] = set()
    waiting = [name for name, node in net.nodes.items() if not node.inputs and not node.controls]
    while waiting:
        name = waiting.pop()
        node = net.nodes[name]
        if name in alive or not _runs(net, node, alive, chosen):
            continue
        alive.add(name)
        waiting.extend(readers.get(name, ()))
    return alive


def _runs(net: Net, node: Node, alive: set[str], chosen: dict[str, Any]) -> bool:
    if any(each in net.nodes and each not in alive for each in node.controls):
        return False
    arrived = (
        each[0] not in net.nodes or _reaches(net, each, alive, chosen) for each in node.inputs
    )
    return any(arrived) if node.op in _MERGES and node.inputs else all(arrived)
