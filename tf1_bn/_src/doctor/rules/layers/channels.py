# SPDX-License-Identifier: Apache-2.0
"""An axis that holds no channels of the convolution before."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundCall, FoundLayer
from ....discovery.reading.nodes import Node, View, text_of
from ...facts.case import Case, names_of, op_of
from ...facts.finding import Finding

_CONVOLUTIONS = {
    "Conv2D": 4,
    "DepthwiseConv2dNative": 4,
    "Conv2DBackpropInput": 4,
    "Conv3D": 5,
    "Conv3DBackpropInputV2": 5,
}
# What leaves the axes where they are.
_PASSING = (
    *("BiasAdd", "Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Sigmoid", "Tanh", "Identity"),
    *("MaxPool", "AvgPool", "StopGradient", "Switch", "_Arg"),
)


def wrong_axis(case: Case) -> Iterator[Finding]:
    """BN307: the convolution says where its channels are."""
    layers: list[FoundLayer] = []
    said: set[tuple[int, tuple[int, ...], str]] = set()
    for layer in case.found.layers:
        for call in layer.calls:
            behind = _convolution(case.view, call)
            if behind is None or call.channel_axes is None:
                continue
            size, layout = _CONVOLUTIONS[behind.op], text_of(behind, "data_format")
            channels = layout.find("C") if len(layout) == size else size - 1
            axes = [axis % size for axis in call.channel_axes]
            if channels not in axes:
                layers.append(layer)
                said.add((channels, tuple(axes), layout))
    if layers:
        channels, others, layout = min(said)
        normalized = ", ".join(map(str, others))
        yield Finding(
            "BN307",
            names_of(layers),
            f"the convolution before is {layout}, with channels on axis {channels}, and what is "
            f"normalized is axis {normalized}",
            "there is a mean for each column of the image, and not for each channel",
            f'axis={channels} (data_format="{layout}" in contrib and slim)',
        )


def _convolution(view: View, call: FoundCall) -> Node | None:
    node = view.nodes[op_of(call.input)]
    for _ in range(8):
        if node.op in _CONVOLUTIONS:
            return node
        if node.op not in _PASSING or not node.inputs:
            return None
        node = view.node(node.inputs[0])
    return None
