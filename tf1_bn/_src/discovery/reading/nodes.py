# SPDX-License-Identifier: Apache-2.0
"""A read-only view of a GraphDef: its nodes, those of its functions, and who consumes what."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Tuple

import numpy as np

# A node's name and the number of its output.
Tensor = Tuple[str, int]

# DataType of TensorFlow: how the raw bytes read, and the field that holds values otherwise.
_NUMBERS = {
    1: (np.float32, "float_val"),
    2: (np.float64, "double_val"),
    3: (np.int32, "int_val"),
    9: (np.int64, "int64_val"),
    10: (np.bool_, "bool_val"),
}


class Node(NamedTuple):
    """An op of a graph or of a function's body.

    Attributes:
      name: unique in the view; in a body, below the name of the call.
      op: its type, or one of `_Arg`, `_Call` and `_If` for what a call stands for.
      inputs: what it reads.
      controls: names of the nodes it waits for.
      attributes: AttrValue messages by name.
      device: where it is to run, "" for wherever.
    """

    name: str
    op: str
    inputs: tuple[Tensor, ...]
    controls: tuple[str, ...]
    attributes: Any
    device: str = ""


class View(NamedTuple):
    """All nodes by name, the names of those that read each tensor, and each one's place."""

    nodes: dict[str, Node]
    consumers: dict[Tensor, list[str]]
    places: dict[str, int]

    def node(self, tensor: Tensor) -> Node:
        return self.nodes[tensor[0]]

    def readers(self, tensor: Tensor) -> list[Node]:
        return [self.nodes[name] for name in self.consumers.get(tensor, ())]


def view_of(nodes: list[Node]) -> View:
    """The view of nodes; inputs that no node makes are taken for nodes of the type `_Missing`."""
    by_name = {node.name: node for node in nodes}
    consumers: dict[Tensor, list[str]] = {}
    for node in nodes:
        for tensor in dict.fromkeys(node.inputs):
            consumers.setdefault(tensor, []).append(node.name)
            if tensor[0] not in by_name:
                by_name[tensor[0]] = Node(tensor[0], "_Missing", (), (), {})
    places = {name: place for place, name in enumerate(by_name)}
    return View(by_name, consumers, places)


def named(tensor: Tensor) -> str:
    """`name:0`, as TensorFlow writes it."""
    return f"{tensor[0]}:{tensor[1]}"


def text_of(node: Node, attribute: str) -> str:
    found = node.attributes.get(attribute) if attribute in node.attributes else None
    return found.s.decode("utf-8", "replace") if found is not None else ""


def is_gradient(name: str) -> bool:
    """Whether an op stands in a scope of `tf.gradients`, by its name."""
    return re.search("(^|/)gradients(_[0-9]+)?/", name) is not None


def shape_of(view: View, tensor: Tensor) -> tuple[int | None, ...] | None:
    """The static shape where the graph notes it, of a variable its value's; None for unknown."""
    node = view.node(tensor)
    if node.op == "Const":
        return constant_shape(node)
    if node.op in ("VarHandleOp", "VariableV2", "Variable") and "shape" in node.attributes:
        return _sizes(node.attributes["shape"].shape)
    if "_output_shapes" in node.attributes:
        shapes = node.attributes["_output_shapes"].list.shape
        if tensor[1] < len(shapes) and not shapes[tensor[1]].unknown_rank:
            return _sizes(shapes[tensor[1]])
    if "shape" in node.attributes and node.op == "Placeholder":
        shape = node.attributes["shape"].shape
        return _sizes(shape) if not shape.unknown_rank and shape.dim else None
    return None


def _sizes(shape: Any) -> tuple[int | None, ...]:
    return tuple(None if each.size < 0 else int(each.size) for each in shape.dim)


def constant_shape(node: Node) -> tuple[int, ...] | None:
    """The shape of a Const, None for other nodes."""
    if node.op != "Const" or "value" not in node.attributes:
        return None
    return tuple(int(each.size) for each in node.attributes["value"].tensor.tensor_shape.dim)


def constant_values(node: Node, most: int = 4096) -> Any:
    """The values of a Const as a flat array; None for other nodes, other dtypes, and many values.

    A value that stands for all is given once.
    """
    if node.op != "Const" or "value" not in node.attributes:
        return None
    tensor = node.attributes["value"].tensor
    if tensor.dtype not in _NUMBERS:
        return None
    dtype, field = _NUMBERS[tensor.dtype]
    if tensor.tensor_content:
        whole = len(tensor.tensor_content) // np.dtype(dtype).itemsize
        return np.frombuffer(tensor.tensor_content, dtype, min(whole, most))
    return np.asarray(list(getattr(tensor, field))[:most], dtype)
