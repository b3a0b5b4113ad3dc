# SPDX-License-Identifier: Apache-2.0
"""Rates at which averages forget, of which PyTorch has the complement."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundUpdate
from ....discovery.reading.nodes import Tensor, View
from ....discovery.reading.tracing import back, choice, scalar
from ...facts.case import Case, names_of
from ...facts.finding import Finding

_FEWEST = 0.5


def rate_of(view: View, update: FoundUpdate) -> float | None:
    """1 - momentum, of variable -= (variable - statistic) * rate; None where it is no constant."""
    node = view.nodes[update.op]
    if not node.op.startswith("AssignSub"):
        return None
    delta = view.node(node.inputs[1])
    if delta.op != "Mul":
        return None
    rates = [_number(view, part) for part in delta.inputs]
    known = [rate for rate in rates if rate is not None]
    return known[0] if len(known) == 1 else None


def _number(view: View, tensor: Tensor, deepest: int = 6) -> float | None:
    """The scalar that a tensor is, in training where a phase decides; None if it is no constant."""
    known, chosen = scalar(view, tensor), choice(view, back(view, tensor))
    if known is not None or not deepest:
        return known
    if chosen is not None:
        return _number(view, chosen.if_true, deepest - 1)
    node = view.node(back(view, tensor))
    if node.op != "Sub":
        return None
    first, second = (_number(view, part, deepest - 1) for part in node.inputs)
    return None if first is None or second is None else first - second


def momentum_of_pytorch(case: Case) -> Iterator[Finding]:
    """BN309: more than half of an average is the last batch."""
    rates = {}
    for layer in case.found.layers:
        for call in layer.calls:
            for update in call.updates:
                rate = rate_of(case.view, update)
                if rate is not None and _FEWEST < rate < 1.0:
                    rates[layer] = round(1.0 - rate, 6)
    if rates:
        momentum = min(rates.values())
        yield Finding(
            "BN309",
            names_of(list(rates)),
            f"with momentum={momentum:g} the averages are little more than the last batch",
            "inference is as noisy as a batch; PyTorch writes momentum the other way round",
            f"momentum={1.0 - momentum:g}, if the number comes from PyTorch",
        )
