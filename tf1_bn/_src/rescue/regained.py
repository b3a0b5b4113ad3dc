# SPDX-License-Identifier: Apache-2.0
"""Moving statistics for layers that a graph has in training alone, so that it has inference too."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

from ..discovery.found import FoundCall, FoundLayer
from ..discovery.layers import find_in
from ..discovery.reading.nodes import shape_of
from ..doctor.facts.case import name_of
from ..doctor.facts.reach import needed as behind
from .averages.layers import distinct_names
from .surgery.baked import in_inference, place_of
from .surgery.net import (
    FLOAT,
    Net,
    as_graph_def,
    dtype_of,
    free_name,
    joined,
    made,
    needed,
    opened,
    with_nodes,
)


class Regained(NamedTuple):
    """A graph in which all layers normalize by moving statistics, and which had none before.

    Attributes:
      graph_def: what the outputs need; the given one where there was nothing to do.
      rewritten: the names of layers that were in training alone.
      begun: the names of variables that were made for them.
    """

    graph_def: Any
    rewritten: tuple[str, ...]
    begun: tuple[str, ...]


def regained(graph_def: Any, outputs: Iterable[str]) -> Regained:
    """The graph with moving statistics in place of the batch's, where the batch's is all it has.

    Args:
      graph_def: stays as it is.
      outputs: names of tensors.

    Raises:
      ValueError: the graph does not show how a layer normalizes.
    """
    net, unread = opened(graph_def)
    net = joined(net)
    ends = [place_of(name) for name in outputs]
    view = net.view()
    computed = behind(view, [name for name, _ in ends], controls=False)
    layers = find_in(view, unread).layers
    alone = [
        (layer, call, name)
        for layer, name in zip(layers, distinct_names(layers))
        for call in layer.calls
        if call.phase == "training" and place_of(call.output)[0] in computed
    ]
    if not alone:
        return Regained(graph_def, (), ())
    begun: list[str] = []
    whole: dict[str, FoundLayer] = {}
    for layer, call, name in alone:
        # Calls that share a layer share its averages.
        if name not in whole:
            net, whole[name], made_now = _with_averages(net, layer, call, name)
            begun += made_now
    calls = [(whole[name], call) for _, call, name in alone]
    net = needed(in_inference(net, calls)[0], ends)
    names = tuple(dict.fromkeys(name for _, _, name in alone))
    return Regained(as_graph_def(net), names, tuple(begun))


def _with_averages(
    net: Net, layer: FoundLayer, call: FoundCall, scope: str
) -> tuple[Net, FoundLayer, list[str]]:
    """With variables in `scope` for the averages that a layer lacks."""
    held, made_now = layer.variables, []
    channels = _channels(net, layer, call)
    for role in ("moving_mean", "moving_variance"):
        if getattr(held, role) is None:
            name = free_name(net, f"{scope.replace(':', '_')}/{role}")
            net = with_nodes(net, [_variable(net, name, channels, _dtype(net, layer))])
            averages: dict[str, Any] = {role: name}
            held = held._replace(**averages)
            made_now.append(name)
    return net, layer._replace(variables=held), made_now


def _dtype(net: Net, layer: FoundLayer) -> int:
    held = layer.variables.gamma or layer.variables.beta
    return (dtype_of(net.nodes[held]) if held is not None else None) or FLOAT


def _variable(net: Net, name: str, channels: int, dtype: int) -> Any:
    value = type(net.source)().node.add().attr["shape"]
    value.shape.dim.add(size=channels)
    return made(net, name, "VariableV2", (), dtype=dtype, shape=value, container="", shared_name="")


def _channels(net: Net, layer: FoundLayer, call: FoundCall) -> int:
    view = net.view()
    for name in (layer.variables.gamma, layer.variables.beta):
        shape = shape_of(view, (name, 0)) if name is not None else None
        if shape and None not in shape:
            return int(max(size or 1 for size in shape))
    axes = call.channel_axes or ()
    sizes = [call.shape[axis] for axis in axes] if call.shape is not None else []
    if len(sizes) != 1 or sizes[0] is None:
        raise ValueError(f"{name_of(layer)}: the graph does not show how many channels it has")
    return sizes[0]
