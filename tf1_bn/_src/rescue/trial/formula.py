# SPDX-License-Identifier: Apache-2.0
"""Layers that were rewritten, held against the formula of inference in float64."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from ...discovery.reading.nodes import named
from ...runtime.tensorflow_v1 import tf
from ..surgery.baked import Rewritten
from .proof import near


def by_formula(
    graph_def: Any,
    layers: Sequence[Rewritten],
    values: Mapping[str, Any],
    feed: Mapping[str, Any],
) -> float:
    """The greatest difference of a layer's output to what the formula gives for its input.

    Raises:
      ValueError: it is more than rounding.
    """
    wanted = [(named(each.input), named(each.output)) for each in layers]
    held = {name for each in layers for name in each.variables[:4] if name is not None}
    others = {name: f"{name}:0" for name in held if name not in values}
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        found = session.run(wanted, dict(feed))
        # What was a constant all along.
        values = {**values, **session.run(others)}
    greatest = 0.0
    for layer, (data, output) in zip(layers, found):
        expected = _inference(layer, values, np.asarray(data, np.float64))
        what = "by the formula of inference"
        greatest = max(greatest, near([output], [expected], [layer.name], what))
    return greatest


def _inference(layer: Rewritten, values: Mapping[str, Any], data: Any) -> Any:
    known: list[Any] = [
        None if name is None else _seen(np.asarray(values[name], np.float64), layer, data.ndim)
        for name in layer.variables[:4]
    ]
    gamma, beta, mean, variance = known
    result = (data - mean) / np.sqrt(variance + layer.epsilon)
    result = result if gamma is None else result * gamma
    return result if beta is None else result + beta


def _seen(array: Any, layer: Rewritten, rank: int) -> Any:
    """A parameter with its channels where the input has them."""
    if array.ndim != 1:
        return array
    axes = {axis % rank for axis in layer.axes}
    return array.reshape([-1 if axis in axes else 1 for axis in range(rank)])
