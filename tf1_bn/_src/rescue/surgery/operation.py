# SPDX-License-Identifier: Apache-2.0
"""The whole operation: from the graph of a session to one of inference, variables still in it."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np

from ...discovery.found import Found, FoundCall, FoundLayer
from ...discovery.layers import find_in
from ...discovery.reading.nodes import Node, Tensor, named
from .baked import Rewritten, in_inference, place_of, title
from .branches import decided
from .flags import Setting, solved, with_settings
from .freezing import WRITES, Fed, with_defaults, with_inputs
from .net import Net, dtype_of, free_name, joined, made, needed, opened, with_nodes
from .values import Values

_OUTPUT, _SWITCH = "_output/", "_switch/"


class Prepared(NamedTuple):
    """A graph of inference.

    Attributes:
      net: what the outputs need, and nothing else.
      outputs: what each wanted tensor is there.
      settings: what was set, and to what.
      layers: the names of the layers behind the outputs.
      rewritten: calls of those that were built for training alone.
      fed: the placeholder of each input that was asked for, "" where nothing needs it.
      inert: whether running the outputs in the old graph leaves its variables alone.
    """

    net: Net
    outputs: tuple[Tensor, ...]
    settings: tuple[Setting, ...]
    layers: tuple[str, ...]
    rewritten: tuple[Rewritten, ...]
    fed: tuple[str, ...]
    inert: bool

    @property
    def forced(self) -> tuple[str, ...]:
        """The names of the layers that had to be rewritten."""
        return tuple(dict.fromkeys(each.name for each in self.rewritten))


def prepared(
    graph_def: Any,
    outputs: Sequence[Tensor],
    asked: Iterable[Setting] = (),
    every_layer: bool = False,
    inputs: Iterable[Fed] = (),
) -> Prepared:
    """The graph in which the outputs are those of inference.

    Args:
      graph_def: read, never changed.
      outputs: the tensors that are wanted.
      asked: tensors that are given a value, whatever they decide.
      every_layer: also layers that were built with a constant `training=True`.
      inputs: tensors that are fed from now on.

    Raises:
      ValueError: there is no batch normalization behind the outputs, or the graph cannot be made
        one of inference; the text says why.
    """
    net, unread = opened(graph_def)
    net, fed = with_inputs(net, inputs)
    behind = _behind(net, outputs)
    found = find_in(net.view(), unread)
    calls = _calls(found, behind)
    if not calls:
        raise ValueError("there is no batch normalization behind the outputs.")
    switches = {c.switch: c.training_on for _, c in calls if c.switch is not None}
    asked = list(asked)
    net = _marked(net, _OUTPUT, outputs)
    net = _marked(net, _SWITCH, [place_of(each) for each in switches])
    view = net.view()
    net = with_settings(joined(net), asked)
    settings = [*asked]
    for place, (switch, training) in enumerate(switches.items()):
        if _known(net, place) is None:
            settings.append(solved(view, place_of(switch), not training))
            net = with_settings(net, settings[-1:])
        value = _known(net, place)
        if value is None or (value is training and every_layer):
            settings.append(Setting(net.nodes[f"{_SWITCH}{place}"].inputs[0], not training))
            net = with_settings(net, settings[-1:])
    net = decided(net)
    inert = _inert(net, _ends(net, len(outputs)))
    net, rewritten = _forced(net, len(outputs), every_layer)
    ends = _ends(net, len(outputs))
    net = with_defaults(needed(net, ends))
    net, ends = _named(needed(net, ends), outputs, ends)
    names = tuple(dict.fromkeys(title(layer) for layer, _ in calls))
    reached = tuple(each if each in net.nodes else "" for each in fed)
    unique = tuple(dict.fromkeys(settings))
    return Prepared(net, tuple(ends), unique, names, rewritten, reached, inert)


def _calls(found: Found, behind: Any) -> list[tuple[FoundLayer, FoundCall]]:
    return [
        (layer, call)
        for layer in found.layers
        for call in layer.calls
        if place_of(call.output)[0] in behind
    ]


def _behind(net: Net, outputs: Iterable[Tensor]) -> set[str]:
    waiting = [name for name, _ in outputs]
    seen = set(waiting)
    for name in waiting:
        for before, _ in net.nodes[name].inputs if name in net.nodes else ():
            if before not in seen:
                seen.add(before)
                waiting.append(before)
    return seen


def _inert(net: Net, ends: Iterable[Tensor]) -> bool:
    """Whether nothing writes a variable that the ends wait for."""
    waiting = [name for name, _ in ends]
    seen = set(waiting)
    for name in waiting:
        node = net.nodes.get(name)
        if node is None:
            continue
        if node.op.startswith(WRITES):
            return False
        for before in (*(each[0] for each in node.inputs), *node.controls):
            if before not in seen:
                seen.add(before)
                waiting.append(before)
    return True


def _marked(net: Net, word: str, tensors: Iterable[Tensor]) -> Net:
    """With nodes that read the tensors, and so show what becomes of them."""
    marks = (Node(f"{word}{place}", "_Mark", (each,), (), {}) for place, each in enumerate(tensors))
    return with_nodes(net, marks)


def _known(net: Net, place: int) -> bool | None:
    value = Values(net.nodes).of(net.nodes[f"{_SWITCH}{place}"].inputs[0])
    return None if value is None else bool(np.all(value))


def _ends(net: Net, count: int) -> list[Tensor]:
    marks = [net.nodes.get(f"{_OUTPUT}{place}") for place in range(count)]
    if None in marks:
        raise ValueError("an output is not computed in inference.")
    return [mark.inputs[0] for mark in marks if mark is not None]


def _forced(net: Net, count: int, every_layer: bool) -> tuple[Net, tuple[Rewritten, ...]]:
    """With the layers that still normalize by the batch made to use their moving statistics."""
    behind = _behind(net, _ends(net, count))
    calls = _calls(find_in(net.view(), []), behind)
    open_ = [each for each in calls if each[1].phase in ("training", "switched")]
    names = tuple(dict.fromkeys(title(layer) for layer, _ in open_))
    if not open_:
        return net, ()
    if not every_layer:
        raise ValueError(
            f"{', '.join(names)}: built with training=True for good, so the graph has no inference"
            " to set; phase=False (--phase False) puts the moving statistics in place of the"
            " batch's."
        )
    return in_inference(net, open_)


def _named(net: Net, wanted: Sequence[Tensor], ends: Sequence[Tensor]) -> tuple[Net, list[Tensor]]:
    """With each output under its old name, where that name is free."""
    result = []
    for old, new in zip(wanted, ends):
        if old != new:
            name = old[0] if not old[1] else f"{old[0]}_{old[1]}"
            name = free_name(net, name)
            dtype = dtype_of(net.nodes[new[0]])
            if dtype is None:
                raise ValueError(f"{named(old)} has no known dtype.")
            net = with_nodes(net, [made(net, name, "Identity", [new], T=dtype)])
            new = (name, 0)
        result.append(new)
    return net, result
