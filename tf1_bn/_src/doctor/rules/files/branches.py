# SPDX-License-Identifier: Apache-2.0
"""Branches of training in what is exported for inference."""

from __future__ import annotations

from typing import Iterator

from ....discovery.reading.tracing import VARIABLES
from ...facts.case import Case, names_of, op_of
from ...facts.finding import Finding


def dead_branches(case: Case) -> Iterator[Finding]:
    """BN404: a phase that is switched behind a signature's outputs, or in a frozen graph."""
    needed = case.outputs
    if needed is None:
        if case.step is not None or any(n.op in VARIABLES for n in case.view.nodes.values()):
            return
        needed = frozenset(case.view.nodes)
    kept = {
        layer: call.switch
        for layer in case.found.layers
        for call in layer.calls
        if call.phase == "switched" and op_of(call.output) in needed
    }
    if kept:
        switch = next((each for each in kept.values() if each), "a bool")
        yield Finding(
            "BN404",
            names_of(list(kept)),
            f"exported with both phases, of which {switch!r} chooses",
            "whoever serves it may have to feed the phase, and converters may refuse the branches",
            "build the graph that is exported with training=False, and restore the checkpoint",
        )
