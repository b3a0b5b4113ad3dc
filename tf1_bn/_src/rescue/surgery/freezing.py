# SPDX-License-Identifier: Apache-2.0
"""Variables made constants, and what is fed made placeholders."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple

import numpy as np

from ...discovery.reading.nodes import Node, Tensor
from ...discovery.reading.tracing import VARIABLES
from .net import (
    INT32,
    RESOURCE,
    Net,
    constant,
    dtype_of,
    free_name,
    made,
    needed,
    redirected,
    with_nodes,
)
from .values import Values

WRITES = ("Assign", "Scatter", "CountUpTo", "Apply", "ResourceApply", "ResourceScatter")
_PASS_HANDLES = ("Switch", "Enter", "Identity", "Exit", "Merge", "NextIteration", "LoopCond")


class Fed(NamedTuple):
    """What is fed: the tensor, the number of its dtype, and its shape, None for unknown rank."""

    tensor: Tensor
    dtype: int
    shape: tuple[int | None, ...] | None


def with_inputs(net: Net, inputs: Iterable[Fed]) -> tuple[Net, list[str]]:
    """The graph in which those tensors are placeholders, and the names of these."""
    names = []
    for tensor, dtype, shape in inputs:
        node = net.nodes[tensor[0]]
        if node.op == "Placeholder":
            names.append(node.name)
            continue
        others = any(
            each[0] == node.name and each != tensor
            for reader in net.nodes.values()
            for each in reader.inputs
        )
        alone = not others and tensor[1] == 0
        name = node.name if alone else free_name(net, f"{node.name}_{tensor[1]}")
        held = made(net, name, "Placeholder", (), dtype=dtype, shape=_shape(net, shape))
        net = with_nodes(net if alone else redirected(net, {tensor: (name, 0)}), [held])
        names.append(name)
    return net, names


def _shape(net: Net, shape: tuple[int | None, ...] | None) -> Any:
    message = type(net.source)().node.add().attr["shape"]
    message.shape.unknown_rank = shape is None
    for size in shape or ():
        message.shape.dim.add(size=-1 if size is None else size)
    return message


def with_defaults(net: Net) -> Net:
    """The graph in which a placeholder's default that is one number is that for good."""
    values, changed = Values(net.nodes), []
    for node in net.nodes.values():
        if node.op == "PlaceholderWithDefault":
            default = values.of(node.inputs[0])
            if default is not None and np.size(default) == 1:
                same = {"T": node.attributes["dtype"]}
                changed.append(node._replace(op="Identity", attributes=same))
            else:
                kept = {key: node.attributes[key] for key in ("dtype", "shape")}
                changed.append(Node(node.name, "Placeholder", (), (), kept))
    return with_nodes(net, changed)


def variables_of(net: Net) -> list[str]:
    """The variables of a graph, in its order.

    Raises:
      ValueError: an output needs an op that writes one.
    """
    for node in net.nodes.values():
        if node.op.startswith(WRITES):
            raise ValueError(f"the outputs need {node.name}, which writes a variable ({node.op}).")
    return [name for name, node in net.nodes.items() if node.op in VARIABLES]


def frozen(net: Net, values: Mapping[str, Any], outputs: Iterable[Tensor]) -> Net:
    """The graph with constants in place of its variables.

    Args:
      net: holds what the outputs need.
      values: an array for each of `variables_of`.
      outputs: the tensors that are wanted.

    Raises:
      ValueError: a variable is used in a way that constants cannot be.
    """
    handles = _handles(net)
    changed = []
    for node in net.nodes.values():
        if node.op in VARIABLES:
            dtype = dtype_of(node)
            changed.append(constant(net, node.name, values[node.name], dtype or 0))
        elif node.op.startswith("Ref") and node.op[3:] in _PASS_HANDLES:
            changed.append(node._replace(op=node.op[3:]))
        elif node.inputs and (node.inputs[0] in handles or node.op == "ReadVariableOp"):
            changed += _reading(net, node, handles.get(node.inputs[0]))
        elif any(each in handles for each in node.inputs):
            raise ValueError(f"{node.name} ({node.op}) uses a variable that cannot be frozen.")
    return needed(with_nodes(net, changed), outputs)


def _handles(net: Net) -> dict[Tensor, int]:
    """The tensors that hold a resource variable, and the number of its dtype."""
    found: dict[Tensor, int] = {}
    for node in net.nodes.values():
        if node.op == "VarHandleOp":
            found[(node.name, 0)] = dtype_of(node) or 0
    grown = True
    while grown:
        grown = False
        for node in net.nodes.values():
            passes = node.op in _PASS_HANDLES and node.inputs and node.inputs[0] in found
            if passes and (node.name, 0) not in found:
                dtype = found[node.inputs[0]]
                found.update({(node.name, 0): dtype, (node.name, 1): dtype})
                grown = True
    return found


def _reading(net: Net, node: Node, dtype: int | None) -> list[Node]:
    if dtype is None:
        # It reads what a setting has made a constant.
        dtype = dtype_of(node) or 0
    if node.op == "ReadVariableOp":
        same = made(net, node.name, "Identity", node.inputs, T=dtype)
        return [same._replace(controls=node.controls)]
    if node.op == "ResourceGather":
        axis = constant(net, free_name(net, f"{node.name}/axis"), np.int32(0), INT32)
        indices = int(node.attributes["Tindices"].type)
        types = {"Tparams": dtype, "Tindices": indices, "Taxis": INT32}
        inputs = (*node.inputs[:2], (axis.name, 0))
        return [axis, made(net, node.name, "GatherV2", inputs, **types)]
    if node.op in _PASS_HANDLES:
        known = made(net, "type", "NoOp", (), T=dtype).attributes["T"]
        is_handle = "T" in node.attributes and node.attributes["T"].type == RESOURCE
        return [node._replace(attributes={**node.attributes, "T": known})] if is_handle else []
    raise ValueError(f"{node.name} ({node.op}) uses a variable that cannot be frozen.")
