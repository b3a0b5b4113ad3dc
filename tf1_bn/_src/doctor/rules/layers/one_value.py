# SPDX-License-Identifier: Apache-2.0
"""Batches that hold one value a channel."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundCall
from ...facts.case import Case, names_of
from ...facts.finding import Finding


def one_value_a_channel(case: Case) -> Iterator[Finding]:
    """BN308: of calls in training whose shape is known."""
    layers = [
        layer
        for layer in case.found.layers
        if any(call.phase == "training" and _values(call) == 1 for call in layer.calls)
    ]
    if layers:
        yield Finding(
            "BN308",
            names_of(layers),
            "in training with one value a channel",
            "a value less the mean of itself is 0, so that the output is beta whatever comes in",
            "more examples in a batch, or training=False",
        )


def _values(call: FoundCall) -> int | None:
    """How many values each mean is of; None where the shape does not say."""
    shape, axes = call.shape, call.channel_axes
    if shape is None or axes is None:
        return None
    channels = {axis % len(shape) for axis in axes} if shape else set()
    count = 1
    for axis, size in enumerate(shape):
        if axis in channels:
            continue
        if size is None:
            return None
        count *= size
    return count
