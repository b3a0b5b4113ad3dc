# SPDX-License-Identifier: Apache-2.0
"""Layers that were built for training alone, made to normalize with their moving statistics."""

from __future__ import annotations

from typing import Iterable, NamedTuple

import numpy as np

from ...discovery.found import FoundCall, FoundLayer, FoundVariables
from ...discovery.reading.nodes import Node, Tensor, View, shape_of
from ...discovery.reading.statistics import FUSED
from ...discovery.reading.tracing import back
from .net import FLOAT, INT32, Net, constant, dtype_of, free_name, made, redirected, with_nodes

_NUMPY = {1: np.float32, 2: np.float64, 19: np.float16}


class Rewritten(NamedTuple):
    """A call that now normalizes with the moving statistics: from which tensor to which."""

    name: str
    input: Tensor
    output: Tensor
    variables: FoundVariables
    epsilon: float
    axes: tuple[int, ...]


class _Chain(NamedTuple):
    """New nodes below one name, in their order."""

    net: Net
    scope: str
    nodes: list[Node]
    dtype: int

    def add(self, word: str, op: str, *inputs: Tensor, **attributes: int) -> Tensor:
        name = f"{self.scope}/{word}"
        self.nodes.append(made(self.net, name, op, inputs, **(attributes or {"T": self.dtype})))
        return name, 0

    def number(self, word: str, value: object, dtype: int) -> Tensor:
        kind = _NUMPY.get(dtype, np.int32)
        self.nodes.append(
            constant(self.net, f"{self.scope}/{word}", np.asarray(value, kind), dtype)
        )
        return f"{self.scope}/{word}", 0


def place_of(text: str) -> Tensor:
    name, _, number = text.rpartition(":")
    return name, int(number)


def title(layer: FoundLayer) -> str:
    """The scope of a layer's variables, to name it by."""
    held = layer.variables
    name = held.moving_variance or held.gamma or held.beta or layer.calls[0].output
    return name.rpartition("/")[0] or name


def in_inference(
    net: Net, layers: Iterable[tuple[FoundLayer, FoundCall]]
) -> tuple[Net, tuple[Rewritten, ...]]:
    """The graph in which these calls normalize with their layer's moving statistics.

    Raises:
      ValueError: the graph does not say which variables these are, or along which axis.
    """
    done = []
    for layer, call in layers:
        name, held = title(layer), layer.variables
        if held.moving_mean is None or held.moving_variance is None:
            raise ValueError(f"{name}: the graph does not say which are its moving statistics.")
        if call.epsilon is None or call.channel_axes is None:
            raise ValueError(f"{name}: the graph does not say its epsilon, or its channel axis.")
        view, output = net.view(), place_of(call.output)
        fused = _fused(view, call)
        if fused is not None and not held.renorm:
            net = _switched(net, fused, held)
        else:
            net, output = _replaced(net, view, held, call)
        at = (place_of(call.input), output, held, call.epsilon, call.channel_axes)
        done.append(Rewritten(name, *at))
    return net, tuple(done)


def _fused(view: View, call: FoundCall) -> Node | None:
    """The one fused op that a call is, with nothing but shapes between it and its input."""
    root = back(view, place_of(call.output))
    node = view.node(root)
    if node.op not in FUSED or root[1]:
        return None
    return node if node.inputs[0] == place_of(call.input) else None


def _switched(net: Net, node: Node, held: FoundVariables) -> Net:
    training = made(net, "flag", "NoOp", (), is_training=False).attributes["is_training"]
    net, mean = _reading(net, held.moving_mean or "")
    net, variance = _reading(net, held.moving_variance or "")
    attributes = {**node.attributes, "is_training": training}
    return with_nodes(
        net, [node._replace(inputs=(*node.inputs[:3], mean, variance), attributes=attributes)]
    )


def _reading(net: Net, name: str) -> tuple[Net, Tensor]:
    """The value of a variable: a resource's is read by an op, others' is what they give."""
    node = net.nodes[name]
    if node.op != "VarHandleOp":
        return net, (name, 0)
    read = made(net, f"{name}/inference", "ReadVariableOp", [(name, 0)], dtype=dtype_of(node) or 0)
    return with_nodes(net, [read]), (read.name, 0)


def _replaced(net: Net, view: View, held: FoundVariables, call: FoundCall) -> tuple[Net, Tensor]:
    data, output = place_of(call.input), place_of(call.output)
    scope = free_name(net, f"{output[0].rpartition('/')[0]}/inference".strip("/"))
    variance = held.moving_variance or ""
    dtype = dtype_of(view.nodes[variance]) or FLOAT
    given = dtype_of(view.node(data)) or dtype
    chain = _Chain(net, scope, [], dtype)
    if given != dtype:
        data = chain.add("input", "Cast", data, SrcT=given, DstT=dtype)
    known = {}
    for word, name in zip(("gamma", "beta", "mean", "variance"), held[:4]):
        if name is not None:
            net, value = _reading(net, name)
            known[word] = _seen_from(view, chain, call, word, (name, value))
    safe = chain.add("add", "Add", known["variance"], chain.number("e", call.epsilon, dtype))
    factor = chain.add("Rsqrt", "Rsqrt", safe)
    if "gamma" in known:
        factor = chain.add("factor", "Mul", factor, known["gamma"])
    shift = chain.add("shift", "Mul", known["mean"], factor)
    scaled = chain.add("scaled", "Mul", data, factor)
    if "beta" in known:
        done = chain.add("sum", "Add", scaled, chain.add("offset", "Sub", known["beta"], shift))
    else:
        done = chain.add("sum", "Sub", scaled, shift)
    if given != dtype:
        done = chain.add("output", "Cast", done, SrcT=dtype, DstT=given)
    return with_nodes(redirected(net, {output: done}), chain.nodes), done


def _seen_from(
    view: View, chain: _Chain, call: FoundCall, word: str, named: tuple[str, Tensor]
) -> Tensor:
    """A parameter in a shape that broadcasts to the input."""
    name, value = named
    shape, axes = shape_of(view, (name, 0)), call.channel_axes or (-1,)
    rank = len(call.shape) if call.shape is not None else None
    if axes == (-1,) or (rank is not None and axes == (rank - 1,)) or len(shape or ()) != 1:
        return value
    if rank is None:
        raise ValueError(f"{name}: the graph does not say how many axes its input has.")
    sizes = [-1 if axis in axes else 1 for axis in range(rank)]
    as_shape = chain.number(f"{word}_shape", sizes, INT32)
    return chain.add(f"{word}_seen", "Reshape", value, as_shape, T=chain.dtype, Tshape=INT32)
