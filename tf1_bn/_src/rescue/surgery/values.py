# SPDX-License-Identifier: Apache-2.0
"""What the constants of a graph come to, by the few ops that stand between them; in float64."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

from ...discovery.reading.nodes import Node, Tensor, constant_shape, constant_values

_DEEPEST, _LARGEST = 60, 2**28
_NUMPY = {1: np.float64, 2: np.float64, 3: np.int32, 9: np.int64, 10: np.bool_, 19: np.float64}
_SIZED = ("Fill", "Tile", "BroadcastTo")
_SAME = (
    *("Identity", "Snapshot", "StopGradient", "PreventGradient", "CheckNumerics", "ReadVariableOp"),
    *("RefIdentity", "Enter", "RefEnter", "IdentityN"),
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{"Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "BiasAdd": np.add},
    **{"RealDiv": np.divide, "Div": np.divide, "Maximum": np.maximum, "Minimum": np.minimum},
    **{"Pow": np.power, "Sqrt": np.sqrt, "Square": np.square, "Neg": np.negative},
    **{"Equal": np.equal, "NotEqual": np.not_equal, "Greater": np.greater, "Less": np.less},
    **{"GreaterEqual": np.greater_equal, "LessEqual": np.less_equal, "LogicalNot": np.logical_not},
    **{"OnesLike": np.ones_like, "ZerosLike": np.zeros_like, "Transpose": np.transpose},
    "Rsqrt": lambda x: 1.0 / np.sqrt(x),
    "SquaredDifference": lambda x, y: np.square(x - y),
    "Reshape": lambda x, sizes: np.reshape(x, np.ravel(sizes)),
    "ExpandDims": lambda x, axis: np.expand_dims(x, int(axis)),
    "Tile": lambda x, counts: np.tile(x, np.ravel(counts)),
    "Fill": lambda sizes, x: np.full(np.ravel(sizes), x),
    "BroadcastTo": lambda x, sizes: np.broadcast_to(x, np.ravel(sizes)),
    "ConcatV2": lambda *parts: np.concatenate(parts[:-1], int(parts[-1])),
}


class Values:
    """Asks for the values of tensors, each worked out once.

    Args:
      nodes: of the graph, by name.
      defaults: whether a placeholder has its default for a value.
    """

    def __init__(self, nodes: Mapping[str, Node], defaults: bool = False) -> None:
        self._nodes = nodes
        self._same = (*_SAME, "PlaceholderWithDefault") if defaults else _SAME
        self._known: dict[Tensor, Any] = {}

    def of(self, tensor: Tensor, deep: int = 0) -> Any:
        """The array that a tensor always holds; None where that is not known."""
        if tensor not in self._known:
            # For the way round a loop.
            self._known[tensor] = None
            node = self._nodes.get(tensor[0])
            if node is not None and deep < _DEEPEST:
                self._known[tensor] = self._worked_out(node, tensor[1], deep + 1)
        return self._known[tensor]

    def _worked_out(self, node: Node, place: int, deep: int) -> Any:
        if node.op == "Const":
            return array_of(node)
        if node.op in self._same and node.inputs:
            return self.of(node.inputs[place if node.op == "IdentityN" else 0], deep)
        if node.op in ("LogicalAnd", "LogicalOr"):
            parts = [self.of(each, deep) for each in node.inputs]
            decides = node.op == "LogicalOr"
            if any(part is not None and np.all(part == decides) for part in parts):
                return np.bool_(decides)
            return None if any(part is None for part in parts) else np.bool_(not decides)
        if node.op not in (*_FUNCTIONS, "Cast", "Squeeze", "Pack") or not node.inputs:
            return None
        parts = [self.of(each, deep) for each in node.inputs]
        if any(part is None for part in parts):
            return None
        with np.errstate(all="ignore"):
            return _computed(node, parts)


def _computed(node: Node, parts: list[Any]) -> Any:
    try:
        if node.op == "Cast":
            kind = _NUMPY.get(node.attributes["DstT"].type)
            return None if kind is None else np.asarray(parts[0]).astype(kind)
        if node.op == "Squeeze":
            axes = tuple(node.attributes["squeeze_dims"].list.i)
            return np.squeeze(parts[0], axes or None)
        if node.op == "Pack":
            return np.stack(parts, int(node.attributes["axis"].i))
        if node.op in _SIZED and _too_large(node, parts):
            return None
        return _FUNCTIONS[node.op](*parts)
    except (ValueError, KeyError, TypeError, IndexError, MemoryError):
        return None


def _too_large(node: Node, parts: list[Any]) -> bool:
    """Whether what an op makes of small inputs is more than a graph's constants may be."""
    sizes = parts[0] if node.op == "Fill" else parts[1]
    times = np.size(parts[0]) if node.op == "Tile" else 1
    return bool(np.prod(np.ravel(sizes), dtype=np.float64) * times > _LARGEST)


def array_of(node: Node) -> Any:
    """The values of a Const in their shape, floats as float64; None for dtypes without numbers."""
    shape = constant_shape(node)
    if shape is None:
        return None
    size = int(np.prod(shape, dtype=np.float64))
    tensor = node.attributes["value"].tensor
    if tensor.dtype == 19:
        halves = np.asarray(list(tensor.half_val), np.uint16).tobytes()
        flat = np.frombuffer(tensor.tensor_content or halves, np.float16)
    else:
        flat = constant_values(node, _LARGEST)
    if flat is None or size > _LARGEST or len(flat) > size:
        return None
    if len(flat) < size:
        # The last value stands for all that follow.
        flat = np.concatenate([flat, np.full(size - len(flat), flat[-1] if len(flat) else 0)])
    array = np.reshape(flat, shape)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
