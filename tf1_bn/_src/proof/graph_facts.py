# SPDX-License-Identifier: Apache-2.0
"""What a graph tells of variables and ops, in plain values."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

from ..runtime.graph_search import needed_ops
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, op_of

_ASSIGNS = (
    "Assign", "AssignSub", "AssignAdd", "AssignVariableOp", "AssignSubVariableOp",
    "AssignAddVariableOp",
)  # fmt: skip


def ops_between(start: Iterable[Any], stop: Operation | None = None) -> set[Operation]:
    """Returns the ops that running `start` runs, without `stop` and what only that one needs.

    Args:
      start: ops, tensors or variables of one graph.
      stop: an op of that graph; None stops nowhere.
    """
    return set(needed_ops(start, follows=lambda edge: op_of(edge) is not stop))


def describe_variable(variable: Variable, graph: Any) -> dict[str, Any]:
    """Returns name, shape, dtype, whether it is trained, and its collections, as plain values."""
    keys = [key for key in graph.get_all_collection_keys() if isinstance(key, str)]
    members = [k for k in keys if any(variable is v for v in graph.get_collection_ref(k))]
    return {
        "name": variable.op.name,
        "shape": [int(size) for size in variable.shape.as_list()],
        "dtype": variable.dtype.base_dtype.name,
        "trainable": bool(variable.trainable),
        # Control flow keeps collections of its own.
        "collections": sorted(key for key in members if not key.endswith("_context")),
    }


def written_by(
    update: Operation, variables: Sequence[Variable], stop: Operation | None = None
) -> list[str]:
    """Returns the names of the variables that `update` assigns, as far as the graph shows it."""
    known = {variable.op.name for variable in variables}
    written = set()
    for op in ops_between([update], stop):
        if op.type in _ASSIGNS:
            target = op.inputs[0].op
            while target.name not in known and target.inputs:
                target = target.inputs[0].op
            written.add(target.name)
    return sorted(written & known)


def static_shape(tensor: Tensor) -> list[int | None] | None:
    """Returns the sizes known while building, None for an unknown one or an unknown rank."""
    if tensor.shape.ndims is None:
        return None
    return [None if size is None else int(size) for size in tensor.shape.as_list()]
