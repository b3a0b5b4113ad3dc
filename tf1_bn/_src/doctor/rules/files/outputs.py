# SPDX-License-Identifier: Apache-2.0
"""Outputs that are normalized by the batch they come in."""

from __future__ import annotations

from typing import Iterator

from ....discovery.reading.tracing import VARIABLES
from ...facts.case import Case, names_of, op_of
from ...facts.finding import Finding


def outputs_by_batch(case: Case) -> Iterator[Finding]:
    """BN305: a layer in training behind the named outputs, or anywhere in a frozen graph."""
    needed = case.outputs
    if needed is None:
        if case.step is not None or any(n.op in VARIABLES for n in case.view.nodes.values()):
            return
        needed = frozenset(case.view.nodes)
    layers = [
        layer
        for layer in case.found.layers
        if any(call.phase == "training" and op_of(call.output) in needed for call in layer.calls)
    ]
    if layers:
        yield Finding(
            "BN305",
            names_of(layers),
            "in training behind an output, so that it normalizes by the batch",
            "an example's result depends on the others of its batch, and alone it is beta",
            "build the graph that is exported with training=False, and restore the checkpoint",
        )
