# SPDX-License-Identifier: Apache-2.0
"""A bias that the mean of the batch takes out again."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundCall
from ...facts.before import linear_before
from ...facts.case import Case, names_of
from ...facts.finding import Finding


def bias_before(case: Case) -> Iterator[Finding]:
    """BN313: of calls that normalize by the batch, channel for channel."""
    layers = [
        layer
        for layer in case.found.layers
        if any(_has_bias(case, call) for call in layer.calls if call.phase != "inference")
    ]
    if layers:
        yield Finding(
            "BN313",
            names_of(layers),
            "a bias is added before, and the mean of the batch takes it out again",
            "the bias does nothing but take memory: beta does its work",
            "use_bias=False in the layer before (biases_initializer=None in contrib and slim)",
        )


def _has_bias(case: Case, call: FoundCall) -> bool:
    before = linear_before(case.view, call)
    if before is None or before.bias is None or call.channel_axes is None:
        return False
    last = -1 if call.shape is None else len(call.shape) - 1
    bias_axis = last if before.bias_axis == -1 else before.bias_axis
    return call.channel_axes in ((before.bias_axis,), (bias_axis,))
