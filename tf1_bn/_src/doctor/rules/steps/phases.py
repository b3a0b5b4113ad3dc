# SPDX-License-Identifier: Apache-2.0
"""Layers that are trained while they normalize by moving statistics that nothing moves."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundLayer
from ...facts.case import Case, Step, affine_of, in_path, names_of, statistics_of
from ...facts.finding import Finding

_MEND = "give it the phase: training=is_training (is_training= in contrib and slim)"
_FROZEN = "if it is frozen on purpose: trainable=False, or leave gamma and beta out of var_list"


def forgotten_training(case: Case) -> Iterator[Finding]:
    """BN101, BN102 and BN104: trained gamma or beta, and no call that is ever in training."""
    step = case.step
    if step is None:
        return
    idle = [layer for layer in case.found.layers if _is_idle(step, layer)]
    restored = [each for each in idle if case.restored_apart.intersection(statistics_of(each))]
    others = [each for each in idle if each not in restored]
    if restored:
        yield Finding(
            "BN104",
            names_of(restored),
            "gamma and beta are trained, and the layer is always in inference",
            "it normalizes by the statistics of the checkpoint that it is restored from",
            f"{_FROZEN}; if it is not: {_MEND}",
        )
    if not others:
        return
    trained = any(
        call.phase in ("training", "switched") and in_path(step, call)
        for layer in case.found.layers
        for call in layer.calls
    )
    wrong = "gamma and beta are trained, and the layer is always in inference"
    if trained:
        wrong += ", unlike others"
    yield Finding(
        "BN102" if trained else "BN101",
        names_of(others),
        wrong,
        "nothing moves its statistics: it scales and shifts, and normalizes by 0 and 1",
        f"{_MEND}; {_FROZEN}",
    )


def _is_idle(step: Step, layer: FoundLayer) -> bool:
    statistics = statistics_of(layer)
    return (
        bool(statistics)
        and not step.moved.intersection(statistics)
        and bool(step.trained.intersection(affine_of(layer)))
        and all(call.phase == "inference" for call in layer.calls)
        and any(in_path(step, call) for call in layer.calls)
    )
