# SPDX-License-Identifier: Apache-2.0
"""Normalizations with constants put into the convolution or product before, or the one after."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

import numpy as np

from ...discovery.found import FoundCall
from ...discovery.layers import find_in
from ...discovery.reading.nodes import Node, Tensor, View, shape_of
from ..surgery.baked import place_of, title
from ..surgery.net import (
    Net,
    constant,
    dtype_of,
    followed,
    free_name,
    made,
    needed,
    redirected,
    with_nodes,
)
from ..surgery.values import Values
from .chains import Affine, Link, affine, way_back
from .linear import WEIGHTS, Taken, before, behind, channel_place, channels_of, data_place

_SHAPE_ALONE = ("Shape", "ShapeN", "Size", "Rank")
_NUMPY: dict[int, Any] = {1: np.float32, 2: np.float64, 19: np.float16}


class Folded(NamedTuple):
    """A graph, and of each layer where it went, or why it stays."""

    net: Net
    done: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]


class _Change(NamedTuple):
    """A linear op with its new weights and offset, and the ops that are gone with that."""

    linear: Node
    taken: Taken
    gone: tuple[Link, ...]


def folded(net: Net, outputs: Iterable[Tensor]) -> Folded:
    """The graph with all layers folded where that is exact; every tensor of `outputs` stays."""
    outputs = tuple(outputs)
    done, kept = [], []
    through: dict[Tensor, Tensor] = {}
    for layer in find_in(net.view(), []).layers:
        for call in layer.calls:
            if call.phase != "inference":
                continue
            change = _change(net, call, outputs, through)
            if isinstance(change, str):
                kept.append((title(layer), change))
                continue
            done.append((title(layer), change.linear.name))
            net = _changed(net, change, through, outputs)
    return Folded(needed(net, outputs), tuple(done), tuple(kept))


def _change(
    net: Net, call: FoundCall, outputs: tuple[Tensor, ...], through: dict[Tensor, Tensor]
) -> _Change | str:
    view, values = net.view(), Values(net.nodes)
    end, start = (followed(through, place_of(each)) for each in (call.output, call.input))
    first = _into_before(view, values, end, outputs)
    if not isinstance(first, str):
        return first
    second = _into_after(view, values, (start, end), call, outputs)
    return first if second == "" else second


def _into_before(
    view: View, values: Values, end: Tensor, outputs: tuple[Tensor, ...]
) -> _Change | str:
    links = way_back(view, values, end, None)
    if links is None:
        return "what stands before it is not linear"
    linear = view.node(links[0].data) if links else view.node(end)
    weights = _weights(view, values, linear)
    if isinstance(weights, str):
        return weights
    for link in links:
        if len(_uses(view, link.data)) > 1 or link.data in outputs:
            return f"{link.data[0]} is also used without it"
    known = affine(values, links, channels_of(linear, weights), channel_place(linear))
    if known is None:
        return "its constants are not one for each channel"
    taken = Taken(behind(linear, weights, known.factor), known.offset)
    return _change_of(linear, taken, links)


def _into_after(
    view: View,
    values: Values,
    ends: tuple[Tensor, Tensor],
    call: FoundCall,
    outputs: tuple[Tensor, ...],
) -> _Change | str:
    """Into the linear op behind; an empty text where there is none."""
    start, current = ends
    links = way_back(view, values, current, start)
    if links is None:
        return ""
    inner = [link.data for link in links[1:]]
    if any(len(_uses(view, each)) > 1 or each in outputs for each in inner):
        return ""
    linear = None
    while linear is None:
        readers = _uses(view, current)
        if len(readers) != 1 or current in outputs:
            return ""
        node, place = readers[0]
        if node.op in WEIGHTS and place == data_place(node):
            linear = node
        elif node.op in ("Identity", "Reshape", "Squeeze", "Transpose") and place == 0:
            links.append(Link(node, 0))
            current = (node.name, 0)
        else:
            return ""
    weights = _weights(view, values, linear)
    if isinstance(weights, str):
        return weights
    known = _of_call(values, links, call, view)
    if known is None or known.place != channel_place(linear):
        return "its constants are not one for each channel"
    taken = before(linear, weights, known.factor, known.offset)
    if isinstance(taken, str):
        return taken
    return _change_of(linear, taken, links)


def _change_of(linear: Node, taken: Taken, links: list[Link]) -> _Change | str:
    kind = _NUMPY[dtype_of(linear) or 0]
    with np.errstate(all="ignore"):
        if not all(np.isfinite(kind(each)).all() for each in taken):
            return f"the new weights of {linear.name} are too large for {kind.__name__}"
    return _Change(linear, taken, tuple(link for link in links if link.scales))


def _of_call(values: Values, links: list[Link], call: FoundCall, view: View) -> Affine | None:
    """What a call does to each channel, told by its own constants."""
    sizes = [
        np.size(known)
        for link in links
        if link.scales
        for number in link.node.inputs
        for known in [values.of(number)]
        if known is not None
    ]
    axes = call.channel_axes or ()
    if len(axes) != 1 or not sizes:
        return None
    shape = call.shape or shape_of(view, place_of(call.input))
    place = 1 if axes == (-1,) else (len(shape) - axes[0] if shape is not None else 0)
    count = (
        shape[axes[0]]
        if shape is not None and shape[axes[0]]
        else min([size for size in sizes if size > 1] or [1])
    )
    return affine(values, links, int(count or 1), place) if place else None


def _weights(view: View, values: Values, linear: Node) -> Any:
    """The weights of a linear op, or why they cannot be changed."""
    tensor = linear.inputs[WEIGHTS[linear.op]]
    known = values.of(tensor)
    if known is None or dtype_of(linear) not in _NUMPY:
        return f"the weights of {linear.name} are no constants"
    while True:
        if len(_uses(view, tensor)) > 1:
            return f"{linear.name} shares its weights"
        node = view.node(tensor)
        if node.op in ("Enter", "RefEnter"):
            return f"{linear.name} stands in a loop"
        if node.op != "Identity":
            return known
        tensor = node.inputs[0]


def _uses(view: View, tensor: Tensor) -> list[tuple[Node, int]]:
    """Who reads the numbers of a tensor, and as which input; its shape stays what it was."""
    return [
        (reader, place)
        for reader in view.readers(tensor)
        if reader.op not in _SHAPE_ALONE
        for place, each in enumerate(reader.inputs)
        if each == tensor
    ]


def _changed(
    net: Net, change: _Change, through: dict[Tensor, Tensor], outputs: tuple[Tensor, ...]
) -> Net:
    """The sum of the product and the offset has the linear op's name, so all that read it do."""
    (weights, offset), name = change.taken, change.linear.name
    dtype = dtype_of(change.linear) or 0
    kind = _NUMPY[dtype]
    gone = {(link.node.name, 0): link.data for link in change.gone}
    through.update(gone)
    net = redirected(net, gone)
    ends = [link.node for link in change.gone if (link.node.name, 0) in outputs]
    held = constant(net, free_name(net, f"{name}_bn_weights"), kind(weights), dtype)
    inputs = list(net.nodes[name].inputs)
    inputs[WEIGHTS[change.linear.op]] = (held.name, 0)
    linear, new = net.nodes[name]._replace(inputs=tuple(inputs)), [held]
    if np.any(offset):
        shape = (-1,) + (1,) * (channel_place(linear) - 1)
        added = constant(
            net, free_name(net, f"{name}_bn_offset"), kind(offset).reshape(shape), dtype
        )
        linear = linear._replace(name=free_name(net, f"{name}_bn_product"))
        op, given = "BiasAdd" if len(shape) == 1 else "Add", [(linear.name, 0), (added.name, 0)]
        new += [added, made(net, name, op, given, T=dtype)]
    for node in ends:
        # An output keeps its name.
        before_it = followed(gone, (node.name, 0))
        new.append(made(net, node.name, "Identity", [before_it], T=dtype))
    return with_nodes(net, [*new, linear])
