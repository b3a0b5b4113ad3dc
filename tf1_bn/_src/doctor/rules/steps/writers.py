# SPDX-License-Identifier: Apache-2.0
"""Several updates of one statistic, in no order."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundLayer
from ....discovery.reading.nodes import View
from ...facts.case import Case, Step, names_of
from ...facts.finding import Finding

_MOST = 200


def unordered_writers(case: Case) -> Iterator[Finding]:
    """BN304: a shared layer, two of whose calls move one average in the same step."""
    step = case.step
    if step is None:
        return
    layers = [layer for layer in case.found.layers if _races(case.view, step, layer)]
    if layers:
        yield Finding(
            "BN304",
            names_of(layers),
            "several calls move one statistic in one step, in no order",
            "each may overwrite what another one has done, so that runs differ",
            'train_op = tf1_bn.minimize(optimizer, loss), or towers="first" or "averaged" in it',
        )


def _races(view: View, step: Step, layer: FoundLayer) -> bool:
    by_variable: dict[str, list[str]] = {}
    for call in layer.calls:
        # A call may write one variable twice, in branches.
        ops = {each.variable: each.op for each in call.updates if each.op in step.runs}
        for variable, op in ops.items():
            by_variable.setdefault(variable, []).append(op)
    for writers in by_variable.values():
        distinct = sorted(set(writers), key=lambda op: view.places[op])
        if any(not _waits(view, b, a) for a, b in zip(distinct, distinct[1:])):
            return True
    return False


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
