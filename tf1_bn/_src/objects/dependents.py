# SPDX-License-Identifier: Apache-2.0
"""What the calls of a layer made, found again by the inputs that it depends on."""

from __future__ import annotations

from typing import Any, Sequence, Tuple

from ..plan.spec import in_both_words
from ..runtime.graph_search import needed_ops
from ..runtime.tensorflow_v1 import is_variable, tf

_Key = Tuple[Any, str]


def found_by(inputs: Any, kept: Sequence[tuple[Any, Any]]) -> list[Any]:
    """The ops or tensors that depend on any of `inputs`; with None those that need no input.

    Args:
      inputs: a tensor, op or variable, or a list of them.
      kept: each op or tensor, and what it was made from. It needs an input if a data or control
        edge leads from there to it.

    Raises:
      TypeError: `inputs` holds something else than tensors, ops and variables.
    """
    wanted = _keys(inputs)
    return [
        made
        for made, source in kept
        if (_leads_to(wanted, made) if _leads_to(_keys(source), made) else inputs is None)
    ]


def _leads_to(wanted: set[_Key], target: Any) -> bool:
    """Whether `target` is one of the `wanted` nodes, or needs one."""
    return bool(wanted) and (
        _key(target) in wanted
        or any(_key(node) in wanted for op in needed_ops([target]) for node in (op, *op.inputs))
    )


def _keys(sources: Any) -> set[_Key]:
    return {_key(source) for source in tf.nest.flatten(sources) if source is not None}


def _key(node: Any) -> _Key:
    # By name: later TensorFlows may hand out another object for the same tensor.
    if is_variable(node):
        # A variable that was made eagerly is of no graph.
        op = getattr(node, "op", None)
        return (None, "") if op is None else (op.graph, op.name)
    if isinstance(node, (tf.Tensor, tf.Operation)):
        return node.graph, node.name
    raise in_both_words(
        TypeError,
        "`inputs` must be None or hold tensors, operations and variables of a graph only (got "
        f"{node!r}).",
        "Expected Operation, Variable, or Tensor",
    )
