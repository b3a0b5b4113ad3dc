# SPDX-License-Identifier: Apache-2.0
"""The way from one tensor to another through ops that scale and shift each channel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...discovery.reading.nodes import Node, Tensor, View, text_of
from ...discovery.reading.statistics import FUSED
from ..surgery.values import Values
from .linear import WEIGHTS

_ELEMENTWISE = ("Mul", "RealDiv", "Add", "AddV2", "Sub", "BiasAdd")
_RESHAPES = ("Reshape", "Squeeze", "ExpandDims")
_PASSES = ("Identity", *_RESHAPES, "Transpose")
_LONGEST = 40


class Link(NamedTuple):
    """An op on the way, and which of its inputs is the data."""

    node: Node
    place: int

    @property
    def data(self) -> Tensor:
        return self.node.inputs[self.place]

    @property
    def scales(self) -> bool:
        """Whether it changes numbers, and not their shape alone."""
        return self.node.op not in _PASSES


class Affine(NamedTuple):
    """Factor and offset of each channel, and where the channels are, from the last axis, 1, on."""

    factor: Any
    offset: Any
    place: int


def way_back(view: View, values: Values, end: Tensor, start: Tensor | None) -> list[Link] | None:
    """The ops from `start` to `end`, in the order in which they run.

    Args:
      view: of the graph.
      values: of the graph.
      end: where the way ends.
      start: where it begins; None for the result of a linear op.

    Returns:
      None if another op stands on the way.
    """
    links: list[Link] = []
    while end != start:
        node = view.node(end)
        if start is None and node.op in WEIGHTS:
            break
        link = _link(node, values) if end[1] == 0 and len(links) < _LONGEST else None
        if link is None:
            return None
        links.append(link)
        end = link.data
    return links[::-1]


def _link(node: Node, values: Values) -> Link | None:
    if node.op in _PASSES:
        return Link(node, 0)
    if node.op in FUSED:
        known = all(values.of(each) is not None for each in node.inputs[1:5])
        training = "is_training" not in node.attributes or node.attributes["is_training"].b
        return Link(node, 0) if known and not training else None
    if node.op not in _ELEMENTWISE:
        return None
    known_places = [place for place in (0, 1) if values.of(node.inputs[place]) is not None]
    if len(known_places) != 1 or (node.op == "RealDiv" and known_places == [0]):
        return None
    return Link(node, 1 - known_places[0])


def affine(values: Values, links: list[Link], channels: int, place: int) -> Affine | None:
    """What the ops of a way do to each channel together; None where that cannot be told."""
    state = Affine(np.ones(channels), np.zeros(channels), place)
    for link in links:
        # A division by 0 shows in the result.
        with np.errstate(all="ignore"):
            known = (_scaled if link.scales else _passed)(values, link, state)
        if known is None:
            return None
        state = known
    return state


def _passed(values: Values, link: Link, state: Affine) -> Affine | None:
    node = link.node
    if node.op in _RESHAPES and state.place != 1:
        return None
    if node.op == "ExpandDims":
        axis = values.of(node.inputs[1])
        return None if axis is None or int(axis) == -1 else state
    if node.op == "Transpose":
        order = values.of(node.inputs[1])
        if order is None:
            return None
        axis = len(order) - state.place
        return state._replace(place=len(order) - list(order).index(axis))
    return state


def _scaled(values: Values, link: Link, state: Affine) -> Affine | None:
    node = link.node
    if node.op in FUSED:
        place = 3 if text_of(node, "data_format") == "NCHW" else 1
        gamma, beta, mean, variance = (values.of(each) for each in node.inputs[1:5])
        epsilon = node.attributes["epsilon"].f if "epsilon" in node.attributes else 1e-4
        factor = _of_channels(gamma / np.sqrt(variance + epsilon), place, state)
        offset = _of_channels(beta, place, state)
        center = _of_channels(mean, place, state)
        if factor is None or offset is None or center is None:
            return None
        return state._replace(
            factor=state.factor * factor, offset=(state.offset - center) * factor + offset
        )
    number = values.of(node.inputs[1 - link.place])
    one = _of_channels(number, _bias_place(node, state), state)
    if one is None:
        return None
    factor, offset = state.factor, state.offset
    if node.op == "Mul":
        return state._replace(factor=factor * one, offset=offset * one)
    if node.op == "RealDiv":
        return state._replace(factor=factor / one, offset=offset / one)
    if node.op == "Sub" and link.place == 1:
        return state._replace(factor=-factor, offset=one - offset)
    return state._replace(offset=offset - one if node.op == "Sub" else offset + one)


def _bias_place(node: Node, state: Affine) -> int:
    """Where a BiasAdd has the channels; 0 for other ops, which broadcast."""
    if node.op != "BiasAdd":
        return 0
    first = text_of(node, "data_format").startswith("NC")
    return max(state.place, 3) if first else 1


def _of_channels(number: Any, place: int, state: Affine) -> Any:
    """A constant as one number for each channel; None where it is something else.

    Its channels are at `place` of the data, or, with 0, at its own long axis.
    """
    count = len(state.factor)
    long = [axis for axis, size in enumerate(np.shape(number)) if size != 1]
    if not long:
        return np.full(count, np.ravel(number)[0])
    if len(long) > 1:
        return None
    seen = place or (np.ndim(number) - long[0])
    flat = np.ravel(number)
    if seen != state.place or len(flat) % count or (len(flat) != count and state.place != 1):
        return None
    rows = flat.reshape(-1, count)
    return rows[0] if (rows == rows[0]).all() else None
