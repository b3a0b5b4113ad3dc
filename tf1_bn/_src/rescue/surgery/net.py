# SPDX-License-Identifier: Apache-2.0
"""A graph under surgery: nodes by name, calls of functions opened; each step gives a new one."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple

import numpy as np

from ...discovery.reading.functions import expanded
from ...discovery.reading.nodes import Node, Tensor, View, named, view_of

FLOAT, BOOL, INT32, RESOURCE = 1, 10, 3, 20
_BOOLS = (
    *("Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"),
    *("LogicalAnd", "LogicalOr", "LogicalNot", "IsVariableInitialized"),
)
_FLOW = ("Switch", "RefSwitch", "Merge", "RefMerge", "Enter", "RefEnter", "NextIteration")
# What speaks of the old graph: shapes, neighbours, gradients and places that are not there now.
_LEFT_OUT = ("_output_shapes", "_class", "_gradient_op_type", "_lower_using_switch_merge")


class Net(NamedTuple):
    """Nodes by name, the functions that may still be called, and the GraphDef they are made of."""

    nodes: dict[str, Node]
    library: dict[str, Any]
    source: Any

    def view(self) -> View:
        return view_of(list(self.nodes.values()))


def opened(graph_def: Any) -> tuple[Net, list[str]]:
    """The graph with the bodies of functions in place of their calls, and what stayed unread."""
    nodes, unread = expanded(graph_def)
    library = {each.signature.name: each for each in graph_def.library.function}
    return Net({node.name: node for node in nodes}, library, graph_def), unread


def joined(net: Net) -> Net:
    """Without what only stands between: arguments and results of functions, IdentityN."""
    through: dict[Tensor, Tensor] = {}
    for node in net.nodes.values():
        if node.op == "_Arg":
            through[(node.name, 0)] = node.inputs[0]
        elif node.op in ("_Call", "IdentityN"):
            through.update(((node.name, place), each) for place, each in enumerate(node.inputs))
    # An _If keeps the way to what it was given, should it stay.
    nodes = _rebuilt(net).nodes.items()
    gone = ("_Arg", "_Call", "IdentityN")
    kept = {name: node for name, node in nodes if node.op not in gone}
    return redirected(net._replace(nodes=kept), through)


def _rebuilt(net: Net) -> Net:
    nodes = dict(net.nodes)
    for node in net.nodes.values():
        if node.op in ("_If", "_Loop"):
            branch = "then_branch" if node.op == "_If" else "body"
            prefix = f"{node.name}/" + ("then/" if node.op == "_If" else "")
            signature = net.library[node.attributes[branch].func.name].signature
            given = [net.nodes[prefix + each.name].inputs[0] for each in signature.input_arg]
            name = f"{node.name}/_given"
            nodes[name] = Node(name, "_Given", tuple(given), (), {})
    return net._replace(nodes=nodes)


def redirected(net: Net, through: Mapping[Tensor, Tensor]) -> Net:
    """With every reader of a tensor in `through` reading what stands there for it."""
    nodes = {}
    for name, node in net.nodes.items():
        inputs = tuple(followed(through, each) for each in node.inputs)
        nodes[name] = node if inputs == node.inputs else node._replace(inputs=inputs)
    return net._replace(nodes=nodes)


def followed(through: Mapping[Tensor, Tensor], tensor: Tensor) -> Tensor:
    seen = set()
    while tensor in through and tensor not in seen:
        seen.add(tensor)
        tensor = through[tensor]
    return tensor


def with_nodes(net: Net, added: Iterable[Node]) -> Net:
    return net._replace(nodes={**net.nodes, **{node.name: node for node in added}})


def free_name(net: Net, wish: str) -> str:
    name, number = wish, 0
    while name in net.nodes:
        number += 1
        name = f"{wish}_{number}"
    return name


def dtype_of(node: Node) -> int | None:
    """The number of the dtype of a node's outputs; None where its kind does not say."""
    if node.op in _BOOLS:
        return BOOL
    for key in ("dtype", "DstT", "out_type", "output_type", "T", "Tparams"):
        if key in node.attributes:
            return int(node.attributes[key].type)
    return None


# -- what goes out -------------------------------------------------------------------------------


def needed(net: Net, outputs: Iterable[Tensor]) -> Net:
    """Only what the outputs are computed from; effects such as updates are no part of it.

    Raises:
      ValueError: something is not there that they are computed from.
    """
    waiting = list(dict.fromkeys(name for name, _ in outputs))
    seen = set(waiting)
    kept: dict[str, Node] = {}
    for name in waiting:
        node = net.nodes.get(name)
        if node is None or node.op in ("_Missing", "_Damaged"):
            raise ValueError(f"the graph is damaged: {name} is needed and cannot be read.")
        node = _closed(net, node)
        waits = tuple(each for each in node.controls if _flows(net, each))
        node = node._replace(controls=waits)
        kept[name] = node
        for before in (*(each[0] for each in node.inputs), *node.controls):
            if before not in seen:
                seen.add(before)
                waiting.append(before)
    return net._replace(nodes={name: kept[name] for name in net.nodes if name in kept})


def _flows(net: Net, name: str) -> bool:
    """Whether a node lies in a branch or loop, so that who waits for it runs only there."""
    node = net.nodes.get(name)
    while node is not None and node.op == "Identity":
        node = net.nodes.get(node.inputs[0][0])
    return node is not None and node.op in _FLOW


def _closed(net: Net, node: Node) -> Node:
    """A conditional or a loop of functions as the op that it was."""
    if node.op not in ("_If", "_Loop"):
        return node
    given = net.nodes[f"{node.name}/_given"].inputs
    if node.op == "_Loop":
        return node._replace(op="While", inputs=given)
    return node._replace(op="If", inputs=(node.inputs[-1], *given))


def as_graph_def(net: Net) -> Any:
    """A new GraphDef; of devices, places and shapes of the old one it keeps nothing."""
    graph = type(net.source)()
    graph.versions.CopyFrom(net.source.versions)
    for node in net.nodes.values():
        written = graph.node.add(name=node.name, op=node.op)
        written.input.extend(each[0] if not each[1] else named(each) for each in node.inputs)
        written.input.extend(f"^{each}" for each in node.controls)
        for key in node.attributes:
            if key not in _LEFT_OUT:
                written.attr[key].CopyFrom(node.attributes[key])
    if any(node.op in ("If", "While") for node in net.nodes.values()):
        graph.library.CopyFrom(net.source.library)
    return graph


# -- new nodes -----------------------------------------------------------------------------------


def made(net: Net, name: str, op: str, inputs: Iterable[Tensor], **attributes: Any) -> Node:
    """A new node; of the attributes an int is a dtype, a bool a bool, text a string."""
    messages = type(net.source)().node.add()
    for key, value in attributes.items():
        if isinstance(value, bool):
            messages.attr[key].b = value
        elif isinstance(value, int):
            messages.attr[key].type = value
        elif isinstance(value, str):
            messages.attr[key].s = value.encode()
        else:
            messages.attr[key].CopyFrom(value)
    return Node(name, op, tuple(inputs), (), {key: messages.attr[key] for key in attributes})


def constant(net: Net, name: str, array: Any, dtype: int) -> Node:
    """A Const whose values are those of `array`, which has the dtype of that number."""
    node = made(net, name, "Const", (), dtype=dtype)
    value = type(net.source)().node.add().attr["value"]
    # Not ascontiguousarray, which makes a number an axis.
    array = np.asarray(array, order="C")
    value.tensor.dtype = dtype
    value.tensor.tensor_shape.SetInParent()
    for size in np.shape(array):
        value.tensor.tensor_shape.dim.add(size=size)
    value.tensor.tensor_content = array.tobytes()
    return node._replace(attributes={**node.attributes, "value": value})
