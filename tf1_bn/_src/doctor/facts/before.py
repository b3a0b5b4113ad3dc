# SPDX-License-Identifier: Apache-2.0
"""What stands right before a normalization: weights, and perhaps a bias."""

from __future__ import annotations

from typing import NamedTuple

from ...discovery.found import FoundCall
from ...discovery.reading.nodes import Node, View, text_of
from ...discovery.reading.tracing import back, parameter
from .case import tensor_of

_LINEAR = (
    *("MatMul", "BatchMatMul", "BatchMatMulV2", "Conv2D", "Conv3D", "DepthwiseConv2dNative"),
    *("Conv2DBackpropInput", "Conv3DBackpropInputV2"),
)
_SUMS = ("BiasAdd", "Add", "AddV2")


class Linear(NamedTuple):
    """An op by weights.

    Attributes:
      kernel: the variable of the weights; None where they are none.
      bias: the variable that is added behind it; None for none.
      bias_axis: of what is normalized, -1 for the last.
    """

    kernel: str | None
    bias: str | None
    bias_axis: int


def linear_before(view: View, call: FoundCall) -> Linear | None:
    """The convolution or product that a call normalizes; None if it is something else."""
    bias, axis = None, -1
    node = view.node(back(view, tensor_of(call.input)))
    if node.op in _SUMS and len(node.inputs) == 2:
        bias = _variable(view, node, 1)
        axis = 1 if text_of(node, "data_format") == "NCHW" else -1
        if bias is None:
            return None
        node = view.node(back(view, node.inputs[0]))
    if node.op not in _LINEAR or len(node.inputs) < 2:
        return None
    return Linear(_variable(view, node, 1), bias, axis)


def _variable(view: View, node: Node, place: int) -> str | None:
    held = parameter(view, node.inputs[place])
    return held.name if held is not None and not held.frozen else None
