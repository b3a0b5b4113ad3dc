# SPDX-License-Identifier: Apache-2.0
"""Nodes of one TensorFlow that another one refuses to load."""

from __future__ import annotations

from typing import Iterator

from ....discovery.reading.nodes import Node, View
from ...facts.finding import Finding

# From this one on, shapes of a gradient are others, and fused ops have one more attribute.
_CHANGED = (2, 2)
_FUSED = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_GRADIENTS = ("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3")


def refused_nodes(view: View, version: tuple[int, int]) -> Iterator[Finding]:
    """BN407: what TensorFlow of `version` does not load, and `repair` mends."""
    is_new = version >= _CHANGED
    refused = [
        node.name
        for node in view.nodes.values()
        if (_has_old_shapes(node) if is_new else _has_new_attribute(node))
    ]
    if refused:
        option = "" if is_new else "--old-runtime "
        yield Finding(
            "BN407",
            tuple(refused),
            "written by an older TensorFlow" if is_new else "written by a newer TensorFlow",
            "this one refuses to load the graph",
            f"python -m tf1_bn repair {option}SOURCE TARGET",
        )


def _has_old_shapes(node: Node) -> bool:
    """Whether a gradient notes sizes where a later TensorFlow has empty outputs: of inference."""
    if node.op not in _GRADIENTS or "_output_shapes" not in node.attributes:
        return False
    shapes = node.attributes["_output_shapes"].list.shape
    return any(size.size > 0 for each in shapes[3:] for size in each.dim)


def _has_new_attribute(node: Node) -> bool:
    return node.op in _FUSED and "exponential_avg_factor" in node.attributes
