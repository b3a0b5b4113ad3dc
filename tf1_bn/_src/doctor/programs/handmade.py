# SPDX-License-Identifier: Apache-2.0
"""Layers that a program trains without a step in its graph: it assigns the weights by itself."""

from __future__ import annotations

from typing import Iterator

from ...discovery.found import FoundLayer
from ...programs.watching.graphs import Ran
from ..facts.case import Case, affine_of, names_of, op_of
from ..facts.finding import Finding
from ..facts.gradients import gradients_in
from ..facts.reach import needed


def trained_by_hand(case: Case, ran: Ran) -> Iterator[Finding]:
    """BN301, where gradients of gamma or beta are fetched and these are assigned behind it.

    A note: who tries gradients by small changes of the weights does the same.
    """
    if ran.steps:
        return
    names = (name for run in ran.gradients for name in run)
    gradients, variables = gradients_in(case.view, case.found, names)
    path = needed(case.view, gradients, controls=False)
    moved = ran.loaded | (case.step.moved if case.step is not None else frozenset())
    layers = [
        layer
        for layer in case.found.layers
        if variables.intersection(affine_of(layer), ran.assigned)
        # Variances begin with 1, which looks like a number that somebody gave.
        and layer.variables.moving_mean not in moved
        and _is_trained(layer, path)
    ]
    if layers:
        yield Finding(
            "BN301",
            names_of(layers),
            "the program fetches gradients and assigns the weights, and no run moved the averages",
            "that is right only if it is no training, or nothing normalizes by the averages",
            "fetch tf.get_collection(tf.GraphKeys.UPDATE_OPS) beside the gradients",
        )


def _is_trained(layer: FoundLayer, path: frozenset[str]) -> bool:
    calls = (call for call in layer.calls if call.phase != "inference" and call.updates)
    return any(op_of(call.output) in path for call in calls)
