# SPDX-License-Identifier: Apache-2.0
"""What one batch is like where layers normalize it."""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from ...discovery.found import FoundCall
from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from .layers import Layer, Statistics

_UNFED = ("Placeholder", "PlaceholderV2")
_WRITES = re.compile(
    "Assign|Scatter(Nd)?(Add|Div|M|Sub|U)|(Sparse)?Apply|Resource.*(Apply|Scatter)"
)


def batches_of(session: Any, layers: Sequence[Layer], feed_dict: Any) -> Mapping[str, Statistics]:
    """Mean and variance of each layer's input, by its name, in one run of the network.

    A layer is left out where its inputs need what is not fed, where computing them would write a
    variable, as updates in place do, and where the graph does not say which axes are channels.
    """
    graph = session.graph
    fed = {op_of(graph.as_graph_element(key)) for key in feed_dict}
    inputs = {each.name: found for each in layers for found in [_input(graph, each, fed)] if found}
    values = session.run({name: tensor for name, (tensor, _) in inputs.items()}, feed_dict)
    found = {}
    for name, (_, axes) in inputs.items():
        batch = np.asarray(values[name], np.float64)
        rest = tuple(i for i in range(batch.ndim) if i not in {axis % batch.ndim for axis in axes})
        if batch.size:
            mean, variance = batch.mean(axis=rest), batch.var(axis=rest)
            found[name] = Statistics(mean.reshape(-1), variance.reshape(-1))
    return {each.name: found[each.name] for each in layers if _fits(each, found)}


def _fits(layer: Layer, found: Mapping[str, Statistics]) -> bool:
    channels = layer.mean.shape.num_elements()
    return layer.name in found and channels in (None, found[layer.name].mean.size)


def _input(graph: Any, layer: Layer, fed: set[Operation]) -> Any:
    """The input of the first call that can be computed, and its channel axes; None for none."""
    trained = [call for call in layer.found.calls if call.phase != "inference"]
    for call in trained or layer.found.calls:
        tensor = _tensor(graph, call)
        if tensor is not None and call.channel_axes is not None and _is_free(tensor, fed):
            return tensor, call.channel_axes
    return None


def _tensor(graph: Any, call: FoundCall) -> Any:
    try:
        tensor = graph.get_tensor_by_name(call.input)
    except (KeyError, ValueError):
        return None
    return tensor if tf.Graph.is_fetchable(graph, tensor) else None


def _is_free(tensor: Any, fed: set[Operation]) -> bool:
    """Whether it can be computed with what is fed, and nothing is written."""
    if tensor.op in fed:
        return True
    ops: Iterable[Operation] = needed_ops([tensor], follows=lambda each: op_of(each) not in fed)
    return not any(op.type in _UNFED or _WRITES.match(op.type) for op in ops)
