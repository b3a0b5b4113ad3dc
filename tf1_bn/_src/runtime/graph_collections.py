# SPDX-License-Identifier: Apache-2.0
"""What a layer leaves in the graph's collections, each item once."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Sequence, Tuple

from .tensorflow_v1 import Operation, tf

# TensorFlow exports and copies collections with string keys only, so these stay with their graph.
CALLS = ("tf1_bn", "calls")
_LAYER_NAMES = ("tf1_bn", "layer names")
_SUMS = ("tf1_bn", "sums")

# The lengths of the collections of one graph, by key.
GraphLengths = Tuple[Any, Dict[Any, int]]


def add_once(collection: str, items: Iterable[Any], graph: Any = None) -> None:
    """Adds the items that the collection does not hold yet, told apart by identity."""
    graph = graph or tf.get_default_graph()
    known = {id(item) for item in graph.get_collection_ref(collection)}
    for item in items:
        if id(item) not in known:
            known.add(id(item))
            graph.add_to_collection(collection, item)


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


def graphs_around() -> list[Any]:
    """The default graph, and those of the functions, branches and bodies it is inside of."""
    graphs = [tf.get_default_graph()]
    while getattr(graphs[-1], "outer_graph", None) is not None:
        graphs.append(graphs[-1].outer_graph)
    return graphs


def lengths() -> list[GraphLengths]:
    """How much every collection holds, from the default graph to the outermost."""
    return [
        (graph, {key: len(graph.get_collection_ref(key)) for key in _keys(graph)})
        for graph in graphs_around()
    ]


def collected_since(
    before: Sequence[GraphLengths], after: Sequence[GraphLengths] | None
) -> list[tuple[Any, Any]]:
    """The keys and items that were added between two `lengths`, or until now, each once."""
    found: dict[tuple[Any, int], tuple[Any, Any]] = {}
    for number, (graph, known) in enumerate(before):
        ends = {} if after is None else after[number][1]
        for key in _keys(graph) if after is None else ends:
            for item in graph.get_collection_ref(key)[known.get(key, 0) : ends.get(key)]:
                found[key, id(item)] = key, item
    return list(found.values())


def take_out_since(before: Sequence[GraphLengths], stays: Callable[[Any], bool]) -> None:
    """Removes what was added since `before` from all collections, but for what `stays`."""
    for graph, known in before:
        for key in _keys(graph):
            items = graph.get_collection_ref(key)
            start = known.get(key, 0)
            items[start:] = [item for item in items[start:] if stays(item)]
            # Graphs of functions share the lists of variables with those around them.
            if not items and key not in known and len(before) == 1:
                graph.clear_collection(key)


def _keys(graph: Any) -> list[Any]:
    # TensorFlow lists string keys only.
    return [*graph.get_all_collection_keys(), CALLS, _LAYER_NAMES, _SUMS]
