# SPDX-License-Identifier: Apache-2.0
"""Several updates of one statistic, in no order."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundLayer
from ....discovery.reading.nodes import View
from ...facts.case import Case, Step, names_of, op_of
from ...facts.finding import Finding

_MOST = 200


def unordered_writers(case: Case) -> Iterator[Finding]:
    """BN304: a shared layer, two of whose calls move one average in the same step."""
    step = case.step
    if step is None:
        return
    racing = {layer: _racing(case.view, step, layer) for layer in case.found.layers}
    layers = [layer for layer, pair in racing.items() if pair]
    if layers:
        yield Finding(
            "BN304",
            names_of(layers),
            "several calls move one statistic in one step, in no order: "
            + " and ".join(_shown(*writer) for writer in racing[layers[0]]),
            "each may overwrite what another one has done, so that runs differ",
            'train_op = tf1_bn.minimize(optimizer, loss), or towers="first" or "averaged" in it',
        )


def _shown(name: str, device: str) -> str:
    return f"{name!r}, by a call on {device}" if device else repr(name)


def _racing(view: View, step: Step, layer: FoundLayer) -> list[tuple[str, str]]:
    """Two ops that move one average in no order, each with the device of its call; or none."""
    by_variable: dict[str, dict[str, str]] = {}
    for call in layer.calls:
        device = view.nodes[op_of(call.output)].device
        # A call may write one variable twice, in branches.
        ops = {each.variable: each.op for each in call.updates if each.op in step.runs}
        for variable, op in ops.items():
            by_variable.setdefault(variable, {})[op] = device
    for writers in by_variable.values():
        distinct = sorted(writers, key=lambda op: view.places[op])
        for first, second in zip(distinct, distinct[1:]):
            if not _waits(view, second, first):
                return [(first, writers[first]), (second, writers[second])]
    return []


def _waits(view: View, later: str, earlier: str) -> bool:
    """Whether `later` runs behind `earlier`, as far as a short way shows it."""
    seen, waiting = {later}, [later]
    for name in waiting:
        if name == earlier:
            return True
        node = view.nodes[name]
        for before in (*node.controls, *(each[0] for each in node.inputs)):
            if before not in seen and before in view.nodes and len(seen) < _MOST:
                seen.add(before)
                waiting.append(before)
    return False
