# SPDX-License-Identifier: Apache-2.0
"""Which library a layer looks like, and layers that were folded into a convolution."""

from __future__ import annotations

from typing import Sequence

from .found import FoundCall, FoundLayer, FoundVariables
from .reading.nodes import Node, View, named, shape_of, text_of

_FOLDED = "_bn_offset"


def library_of(view: View, variables: FoundVariables, calls: Sequence[FoundCall]) -> str:
    """`tf1_bn`, `tensorpack`, `Keras`, `contrib`, `tf.layers`, `by hand` or `unknown`.

    That is a guess by habits: in inference `tf1_bn` looks like what it stands in for.
    """
    mean = variables.moving_mean or ""
    if any(_has_tf1_bn(view, call) for call in calls):
        return "tf1_bn"
    if mean.endswith("mean/EMA"):
        return "tensorpack"
    if any("keras_learning_phase" in (call.switch or "") for call in calls):
        return "Keras"
    if mean and mean.rpartition("/")[2] != "moving_mean":
        return "by hand"
    if _is_contrib(view, variables):
        return "contrib"
    return "tf.layers" if mean else "unknown"


def _has_tf1_bn(view: View, call: FoundCall) -> bool:
    """Whether a gradient of tf1_bn's is behind the output, or its rate behind an update."""
    for update in call.updates:
        node = view.nodes[update.op]
        delta = view.node(node.inputs[1])
        if delta.op == "Mul" and any("update_rate" in each[0] for each in delta.inputs):
            return True
    current: Node | None = view.nodes[call.output.rpartition(":")[0]]
    for _ in range(4):
        if current is None or not current.inputs:
            return False
        if text_of(current, "_gradient_op_type").startswith("tf1_bn."):
            return True
        current = view.node(current.inputs[0])
    return False


def _is_contrib(view: View, variables: FoundVariables) -> bool:
    """contrib's layer stands in a scope BatchNorm, or makes beta before gamma."""
    scope = (variables.moving_mean or "").split("/")[-2:-1]
    if scope and scope[0].startswith("BatchNorm"):
        return True
    if not variables.gamma or not variables.beta or variables.frozen:
        return False
    return view.places[variables.beta] < view.places[variables.gamma]


def folded_layers(view: View) -> list[FoundLayer]:
    """Layers that TensorFlow's tools put into the weights and a bias of the convolution before."""
    found = []
    for node in view.nodes.values():
        if node.op in ("BiasAdd", "Add", "AddV2") and len(node.inputs) == 2:
            offset = node.inputs[1][0]
            if offset.endswith(_FOLDED):
                found.append(_folded(view, node, offset))
    return found


def _folded(view: View, node: Node, offset: str) -> FoundLayer:
    axes = (1,) if text_of(node, "data_format") == "NCHW" else (-1,)
    call = FoundCall(
        named(node.inputs[0]),
        f"{node.name}:0",
        "folded",
        None,
        axes,
        "folded",
        None,
        (),
        shape_of(view, node.inputs[0]),
    )
    return FoundLayer(FoundVariables(None, offset, None, None, (), True), (call,), "unknown")
