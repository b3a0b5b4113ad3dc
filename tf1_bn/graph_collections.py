# SPDX-License-Identifier: Apache-2.0
"""What a layer leaves in the graph's collections, each item once."""

from __future__ import annotations

from typing import Any, Callable, Iterable, NamedTuple

from ._compat import Operation, Tensor, Variable, tf

# TensorFlow exports and copies collections with string keys only, so these stay with their graph.
_CALLS = ("tf1_bn", "calls")
_LAYER_NAMES = ("tf1_bn", "layer names")
_SUMS = ("tf1_bn", "sums")


class Call(NamedTuple):
    """One call of one layer in this graph, kept for `train_op`."""

    inputs: Tensor
    outputs: Tensor
    updates: tuple[Operation, ...]
    updates_again: Callable[..., list[Operation]]
    statistics: tuple[Variable, ...]
    moments: Any
    active: Any


def add_once(collection: str, items: Iterable[Any]) -> None:
    """Adds the items that the collection does not hold yet, told apart by identity."""
    graph = tf.get_default_graph()
    known = {id(item) for item in graph.get_collection_ref(collection)}
    for item in items:
        if id(item) not in known:
            known.add(id(item))
            graph.add_to_collection(collection, item)


def record_call(call: Call) -> None:
    """Remembers a call for as long as its graph lives."""
    tf.get_default_graph().get_collection_ref(_CALLS).append(call)


def recorded_calls(graph: Any) -> list[Call]:
    """The training calls built in `graph`, in order."""
    return list(graph.get_collection_ref(_CALLS))


def record_sum(op: Operation, statistic: str) -> None:
    """Remembers which layer's statistic `op` sums across replicas."""
    op.graph.get_collection_ref(_SUMS).append((op, statistic))


def summed_by(op: Operation) -> str:
    """The statistic that was recorded for `op`; empty where its graph was imported."""
    return next((name for known, name in op.graph.get_collection_ref(_SUMS) if known is op), "")


def next_layer_name(base: str) -> str:
    """`base_1`, `base_2`, ... per graph, as TF1 names layers that were given no name."""
    taken = tf.get_default_graph().get_collection_ref(_LAYER_NAMES)
    taken.append(base)
    return f"{base}_{taken.count(base)}"
