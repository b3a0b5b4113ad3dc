# SPDX-License-Identifier: Apache-2.0
"""A factor and an offset for each channel, put into the weights of a linear op; all in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...discovery.reading.nodes import Node, text_of

# Which input holds the weights, and which the data.
WEIGHTS = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative", "Conv3D", "MatMul"), 1),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), 1),
}
_TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")


class Taken(NamedTuple):
    """New weights, and what is added for each channel behind them."""

    weights: Any
    offset: Any


def data_place(node: Node) -> int:
    return 2 if node.op in _TRANSPOSED else 0


def channel_place(node: Node) -> int:
    """Which axis of data and result holds the channels, counted from the last, which is 1."""
    if node.op == "MatMul" or not text_of(node, "data_format").startswith("NC"):
        return 1
    return 4 if node.op.startswith("Conv3D") else 3


def channels_of(node: Node, weights: Any) -> int:
    """How many channels the result has."""
    if node.op == "DepthwiseConv2dNative":
        return int(weights.shape[2] * weights.shape[3])
    if node.op in _TRANSPOSED:
        return int(weights.shape[-2])
    return int(weights.shape[0 if _flag(node, "transpose_b") else -1])


def behind(node: Node, weights: Any, factor: Any) -> Any:
    """The weights that give the result times `factor`."""
    if node.op == "DepthwiseConv2dNative":
        return weights * factor.reshape(weights.shape[2:])
    if node.op in _TRANSPOSED or _flag(node, "transpose_b"):
        return weights * factor[:, None]
    return weights * factor


def before(node: Node, weights: Any, factor: Any, offset: Any) -> Taken | str:
    """The weights for data that would have been multiplied and shifted; or why there are none."""
    if node.op == "MatMul":
        return _before_product(node, weights, factor, offset)
    places = 1 if node.op in _TRANSPOSED else 2
    size = weights.shape[-1 if node.op in _TRANSPOSED else -2]
    if size != len(factor):
        return f"{node.name} works on groups of channels"
    if np.any(offset) and not _sees_no_border(node, weights):
        return f"{node.name} pads with zeros, which its offset would not reach"
    axes = tuple(range(weights.ndim - 2))
    if node.op in _TRANSPOSED:
        return Taken(weights * factor, np.zeros(weights.shape[-2]))
    shape = (-1,) + (1,) * (places - 1)
    new = weights * factor.reshape(shape)
    shifted = (weights * offset.reshape(shape)).sum(axes)
    if node.op == "DepthwiseConv2dNative":
        return Taken(new, shifted.reshape(-1))
    return Taken(new, shifted.sum(0))


def _before_product(node: Node, weights: Any, factor: Any, offset: Any) -> Taken | str:
    rows = weights.shape[1 if _flag(node, "transpose_b") else 0]
    if _flag(node, "transpose_a") or rows % len(factor):
        return f"{node.name} mixes examples or channels"
    # Images made rows have all channels of one place after those of another.
    factor, offset = (np.tile(each, rows // len(factor)) for each in (factor, offset))
    if _flag(node, "transpose_b"):
        return Taken(weights * factor, weights @ offset)
    return Taken(weights * factor[:, None], offset @ weights)


def _sees_no_border(node: Node, weights: Any) -> bool:
    if node.op in _TRANSPOSED:
        return False
    padding = text_of(node, "padding")
    # EXPLICIT puts a border around whatever the kernel's size.
    return padding == "VALID" or (padding == "SAME" and max(weights.shape[:-2]) == 1)


def _flag(node: Node, name: str) -> bool:
    return name in node.attributes and bool(node.attributes[name].b)
