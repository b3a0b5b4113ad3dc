# SPDX-License-Identifier: Apache-2.0
"""Updates that a step runs by data that is none of its loss's."""

from __future__ import annotations

from typing import Iterator

from ...facts.case import Case, Step, calls_of, in_path, names_of, op_of
from ...facts.finding import Finding
from ...facts.reach import data_sources, followed


def updates_by_foreign_data(case: Case) -> Iterator[Finding]:
    """BN303: a placeholder, iterator or queue that the updates need and the gradients do not."""
    step = case.step
    if step is None or not step.given or not _goes_through_layers(case, step):
        return
    foreign = data_sources(case.view, step.runs) - data_sources(case.view, step.path)
    if not foreign:
        return
    behind = followed(case.view, foreign)
    layers = [
        layer
        for layer in case.found.layers
        for call in layer.calls
        if op_of(call.input) in behind
        and op_of(call.input) not in step.path
        and any(update.op in step.runs for update in call.updates)
    ]
    if layers:
        sources = ", ".join(
            repr(name) for name in sorted(foreign, key=lambda name: case.view.places[name])
        )
        yield Finding(
            "BN303",
            names_of(layers),
            f"the train op runs updates by data that its loss does not need: {sources}",
            "each step asks for that data, and moves the statistics by it as well",
            "train_op = tf1_bn.minimize(optimizer, loss), or control_dependencies of those update "
            "ops alone: tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope)",
        )


def _goes_through_layers(case: Case, step: Step) -> bool:
    """Not so where gradients are applied that other runs have gathered, from data of theirs."""
    return any(in_path(step, call) for _, call in calls_of(case.found))
