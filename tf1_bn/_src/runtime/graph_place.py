# SPDX-License-Identifier: Apache-2.0
"""Where the code builds: in which graph and body, and what is collected there."""

from __future__ import annotations

import contextlib
import re
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, Sequence, Tuple

from .tensorflow_v1 import Operation, tf

# TensorFlow exports and copies collections with string keys only, so these stay with their graph.
_CALLS = ("tf1_bn", "calls")
_LAYER_NAMES = ("tf1_bn", "layer names")
_SUMS = ("tf1_bn", "sums")

# Its `calls`, if any, are those of the outermost call that this thread builds and tells of.
_here = threading.local()

# The bodies of control flow v2: graphs of their own that belong to the one around them.
_V2_BODIES = ("CondBranchFuncGraph", "WhileCondFuncGraph", "WhileBodyFuncGraph")

# The lengths of the collections of one graph, by key.
GraphLengths = Tuple[Any, Dict[Any, int]]


# -- graphs and bodies ---------------------------------------------------------------------------


def outside_of_bodies(graph: Any) -> Any:
    """The graph itself or, of a branch or body of control flow v2, the graph that it stands in."""
    while type(graph).__name__ in _V2_BODIES:
        graph = graph.outer_graph
    return graph


def in_function() -> bool:
    """Whether graph is built for a `tf.function`, a `tf.wrap_function` or the like.

    A conditional or loop of control flow v2 counts as what it stands in.
    """
    return type(outside_of_bodies(tf.get_default_graph())) is not tf.Graph


def nobody_runs(graph: Any = None) -> bool:
    """Whether the update ops of a graph are beyond everybody's reach, if nothing collects them.

    That is so in the branches and bodies of control flow v2, unless they stand in a `tf.function`,
    which runs its ops itself, or in a `tf.wrap_function`, which leaves them to its caller.

    Args:
      graph: None for the default one.
    """
    graph = graph or tf.get_default_graph()
    return type(graph) is not tf.Graph and type(outside_of_bodies(graph)) is tf.Graph


def is_stranded(op: Operation) -> bool:
    """Whether `op` stands in a conditional or a loop, where no op from outside can run it."""
    if type(op.graph) is tf.Graph:
        # Not by the graph's attribute, behind which fetches may be watched.
        return not tf.Graph.is_fetchable(op.graph, op)
    return nobody_runs(op.graph)


def enclosing_v1_op() -> Operation | None:
    """The predicate, or an Enter op, of the innermost context of control flow v1; None outside.

    The branches and bodies of control flow v2 are graphs of their own and count as outside.
    """
    graph = tf.get_default_graph()
    if graph.is_fetchable(tf.no_op(name="place")):
        return None
    # What a tensor from outside of everything comes through.
    with tf.control_dependencies(None):
        outside = tf.constant(0, name="outside")
    entrance = tf.identity(outside, name="inside").op.inputs[0].op
    if entrance.type == "Switch":
        return entrance.inputs[1].op
    if entrance.type != "Enter":
        return None
    frame = entrance.get_attr("frame_name")
    enters = (op for op in graph.get_operations() if op.type in ("Enter", "RefEnter"))
    return next(op for op in enters if op.get_attr("frame_name") == frame)


def graphs_around() -> list[Any]:
    """The default graph, and those of the functions, branches and bodies it is inside of."""
    graphs = [tf.get_default_graph()]
    while getattr(graphs[-1], "outer_graph", None) is not None:
        graphs.append(graphs[-1].outer_graph)
    return graphs


def home_graph() -> Any:
    """The graph that keeps the variables: the outermost one, which is a function's under eager."""
    graphs = graphs_around()
    if len(graphs) == 1:
        return graphs[0]
    with tf.init_scope():
        return graphs[-2 if tf.executing_eagerly() else -1]


# -- collections ---------------------------------------------------------------------------------


def add_once(collection: str, items: Iterable[Any], graph: Any = None) -> None:
    """Adds the items that the collection does not hold yet, told apart by identity."""
    graph = graph or tf.get_default_graph()
    known = {id(item) for item in graph.get_collection_ref(collection)}
    for item in items:
        if id(item) not in known:
            known.add(id(item))
            graph.add_to_collection(collection, item)


def note_call(call: Any) -> None:
    """Remembers a normalization for as long as its graph lives, and for whoever is `told`."""
    tf.get_default_graph().get_collection_ref(_CALLS).append(call)
    heard = getattr(_here, "calls", None)
    if heard is not None:
        heard.append(call)


def calls_of(graph: Any) -> list[Any]:
    """All normalizations of `graph`, in order."""
    return list(graph.get_collection_ref(_CALLS))


@contextlib.contextmanager
def told(
    listeners: Sequence[Callable[..., Callable[..., None]]], *beginning: Any
) -> Iterator[Callable[[Any], Any]]:
    """Inside, a call is built, of which `listeners` are told unless it is part of another call.

    Args:
      listeners: each is given `beginning`, and returns what is told of the call's end.
      beginning: what is told before anything is built.

    Yields:
      A function that takes and returns the outputs of the call, and tells of these and of the
      normalizations that this thread has built inside, in whatever graph.
    """
    if not listeners or getattr(_here, "calls", None) is not None:
        yield lambda outputs: outputs
        return
    calls: list[Any] = []
    _here.calls = calls
    try:
        finishes = [listener(*beginning) for listener in list(listeners)]

        def done(outputs: Any) -> Any:
            for finish in finishes:
                finish(outputs, calls)
            return outputs

        yield done
    finally:
        _here.calls = None


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


def snake_case(name: str) -> str:
    """The name that TF1 gives a layer of a class of this name.

    >>> snake_case("BatchNormalization")
    'batch_normalization'
    """
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    return f"private{snake}" if snake.startswith("_") else snake


def lengths() -> list[GraphLengths]:
    """How much every collection holds, from the default graph to the outermost."""
    return [
        (graph, {key: len(graph.get_collection_ref(key)) for key in _keys(graph)})
        for graph in graphs_around()
    ]


def collected_since(before: Sequence[GraphLengths]) -> list[tuple[Any, Any]]:
    """The keys and items that were added since `lengths` told of `before`, each once."""
    found: dict[tuple[Any, int], tuple[Any, Any]] = {}
    for graph, known in before:
        for key in _keys(graph):
            for item in graph.get_collection_ref(key)[known.get(key, 0) :]:
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
    return [*graph.get_all_collection_keys(), _CALLS, _LAYER_NAMES, _SUMS]
