# SPDX-License-Identifier: Apache-2.0
"""What follows from the numbers of a run: BN501 to BN504. Plain values; no TensorFlow in here."""

from __future__ import annotations

import math
from typing import Iterator, NamedTuple, Sequence

from ..facts.finding import Finding

# Some programs run the updates in a run of their own, behind the first step.
FEWEST_STEPS = 2


class Seen(NamedTuple):
    """What was seen of a layer since its statistics were looked at first.

    Attributes:
      layer: its name.
      begun: whether they were 0 and 1 then.
      steps: how many runs trained it.
      reached: whether one of them ran its updates, as far as is known.
      same: whether the statistics still are what they were, to the last bit.
      sound: whether they are finite, and no variance is below 0.
      crept: whether a run without a step moved them.
      young: the age in time constants at which a run evaluated the layer; None for none, for old
        enough, and for not known.
    """

    layer: str
    begun: bool
    steps: int
    reached: bool
    same: bool
    sound: bool
    crept: bool
    young: float | None


def findings_of(layers: Sequence[Seen]) -> Iterator[Finding]:
    """BN501 to BN504, each layer in one finding a code."""
    yield from _unmoved(layers)
    wild = tuple(each.layer for each in layers if not each.sound)
    if wild:
        yield Finding(
            "BN502",
            wild,
            "moving statistics are not finite, or a variance is below 0",
            "an average never forgets a NaN, and inference gives NaN from now on",
            "go back to a checkpoint before, and look for NaN in the batches",
        )
    crept = tuple(each.layer for each in layers if each.crept)
    if crept:
        yield Finding(
            "BN503",
            crept,
            "a run without a gradient step moved the moving statistics",
            "what is evaluated leaves its traces in the model",
            "feed False for the phase, or fetch a tensor that does not wait for the updates",
        )
    young = [(each.layer, each.young) for each in layers if each.young is not None]
    if young:
        age = min(float(each) for _, each in young)
        yield Finding(
            "BN504",
            tuple(layer for layer, _ in young),
            f"evaluated when the averages were {age:.2g} time constants old",
            f"{math.exp(-age):.0%} of them was the 0 and 1 they begin with",
            "evaluate later, or take a smaller momentum",
        )


def _unmoved(layers: Sequence[Seen]) -> Iterator[Finding]:
    # A restored average may have arrived, and reached by its updates it is none of ours.
    idle = [
        each
        for each in layers
        if each.same and each.steps >= FEWEST_STEPS and (each.begun or not each.reached)
    ]
    for reached in (False, True):
        group = [each for each in idle if each.reached is reached]
        if not group:
            continue
        steps = min(each.steps for each in group)
        begun = all(each.begun for each in group)
        yield Finding(
            "BN501",
            tuple(each.layer for each in group),
            f"the moving statistics are bit for bit the same after {steps} runs that train",
            f"inference normalizes by {'0 and 1' if begun else 'what was restored'}",
            "the updates ran and moved nothing: feed True for the phase in training"
            if reached
            else "run the updates: train_op = tf1_bn.minimize(optimizer, loss)",
        )
