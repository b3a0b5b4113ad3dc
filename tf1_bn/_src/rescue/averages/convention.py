# SPDX-License-Identifier: Apache-2.0
"""Which variance a layer keeps, a sample's or the population's: read from what its update writes.

The graph shows it by arithmetic alone: one layer multiplies the population's variance, another one
undoes what the fused op has done. So the update's own numbers are compared with the batch's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...discovery.found import FoundCall
from ...discovery.reading.nodes import Tensor, View
from ...discovery.reading.statistics import origin
from ...discovery.reading.tracing import MERGES, back
from .layers import Layer
from .moments import Moments

# Ops that an update is taken apart at, until what is left comes of the batch alone.
_PARTS = ("Sub", "Add", "AddV2", "AddN", "Mul", "Neg")
_MOST = 24
# What float32 tells apart from 1.
_ROUNDING = 1e-5


class Written(NamedTuple):
    """A call, and the tensors that its two averages move towards, each but for one factor."""

    call: FoundCall
    mean: Tensor
    variance: Tensor


def written_by(view: View, layer: Layer) -> Written | None:
    """Where to look; None where nothing moves the averages, or renorm makes others of them."""
    if layer.renorm:
        return None
    for call in layer.calls:
        ops = {update.variable: update.op for update in call.updates}
        if call.phase in ("training", "switched") and {layer.mean, layer.variance} <= set(ops):
            mean, variance = (_goal(view, ops[name]) for name in (layer.mean, layer.variance))
            if mean is not None and variance is not None:
                return Written(call, mean, variance)
    return None


def _goal(view: View, update: str) -> Tensor | None:
    """The first part of an update's value that is made of the batch alone, or chosen by phase."""
    waiting = [view.nodes[update].inputs[1]]
    for current in waiting:
        if len(waiting) > _MOST:
            break
        known = origin(view, current)
        if not known.reductions:
            continue
        root = view.node(back(view, current))
        if not known.parameters or root.op in MERGES:
            return back(view, current)
        waiting.extend(root.inputs if root.op in _PARTS else ())
    return None


def is_sample(batch: Moments, mean: Any, variance: Any) -> bool | None:
    """Whether an update writes a sample's variance; None where the numbers do not tell.

    Args:
      batch: the moments of the call's input.
      mean, variance: what the update makes of the same batch, both times one unknown factor.
    """
    if batch.number < 2 or batch.number * _ROUNDING > 1:
        return None
    means, variances = (np.asarray(each, np.float64).ravel() for each in (mean, variance))
    population = batch.variance(sample=False)
    if len(means) != len(batch.mean) or len(variances) != len(population):
        return None
    spread = np.sqrt(population)
    factor = float(np.dot(means, batch.mean) / max(float(np.dot(batch.mean, batch.mean)), 1e-30))
    near = np.abs(means - factor * batch.mean) <= 1e-3 * abs(factor) * (spread + np.abs(batch.mean))
    filled = population > 0
    if not factor or not near.all() or not filled.any():
        return None
    ratio = float(np.median(variances[filled] / population[filled])) / factor
    bessel = batch.number / (batch.number - 1)
    distance = 0.25 * (bessel - 1) + _ROUNDING
    for value, answer in ((1.0, False), (bessel, True)):
        if abs(ratio - value) <= distance:
            return answer
    return None
