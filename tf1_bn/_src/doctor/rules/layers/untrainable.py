# SPDX-License-Identifier: Apache-2.0
"""Layers that are held still by `trainable=False` alone; a guess, as a teacher may be so."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundLayer
from ...facts.case import Case, Step, affine_of, in_path, names_of, statistics_of
from ...facts.finding import Finding


def untrainable_in_training(case: Case) -> Iterator[Finding]:
    """BN310: gamma and beta are not trainable, and the batch's statistics count."""
    step, trainable = case.step, case.trainable
    if step is None or trainable is None:
        return
    layers = [each for each in case.found.layers if _is_half_frozen(step, trainable, each)]
    if layers:
        yield Finding(
            "BN310",
            names_of(layers),
            "trainable=False, and in training all the same",
            "it normalizes by the batch, and its moving statistics stay: TF1 collects no update "
            "ops of it",
            "training=False as well, if it is frozen",
        )


def _is_half_frozen(step: Step, trainable: frozenset[str], layer: FoundLayer) -> bool:
    affine = affine_of(layer)
    return (
        bool(affine)
        and not trainable.intersection(affine)
        and not step.moved.intersection([*affine, *statistics_of(layer)])
        and any(call.phase != "inference" and in_path(step, call) for call in layer.calls)
    )
