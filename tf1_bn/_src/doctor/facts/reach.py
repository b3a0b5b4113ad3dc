# SPDX-License-Identifier: Apache-2.0
"""What runs if something is run, and what of it is computed from data."""

from __future__ import annotations

from typing import Iterable

from ...discovery.reading.nodes import Node, View, shape_of
from ...discovery.reading.tracing import VARIABLES, back

_WRITES = ("Assign", "Scatter", "ResourceScatter")
_SOURCES = ("Placeholder", "PlaceholderV2", "IteratorGetNext", "OptionalGetValue", "ReaderReadV2")
_BOOL = 10


def needed(
    view: View, names: Iterable[str], controls: bool = True, most: int | None = None
) -> frozenset[str]:
    """The names of the nodes that are run for those with `names`, these included.

    Args:
      view: of the graph.
      names: where to begin.
      controls: whether what is only waited for counts.
      most: ends the search behind so many; None for no end.
    """
    waiting = [name for name in names if name in view.nodes]
    seen = set(waiting)
    while waiting and (most is None or len(seen) < most):
        node = view.nodes[waiting.pop()]
        for name in (*(each[0] for each in node.inputs), *(node.controls if controls else ())):
            if name not in seen and name in view.nodes:
                seen.add(name)
                waiting.append(name)
    return frozenset(seen)


def is_write(node: Node) -> bool:
    return bool(node.inputs) and (node.op.startswith(_WRITES) or is_step(node))


def is_step(node: Node) -> bool:
    """Whether a node is an optimizer's op for one variable."""
    return bool(node.inputs) and "Apply" in node.op and not node.op.startswith("_")


def written(view: View, node: Node) -> str | None:
    """The variable that a write writes."""
    target = view.node(back(view, node.inputs[0]))
    return target.name if target.op in VARIABLES else None


def followed(view: View, names: Iterable[str]) -> frozenset[str]:
    """The names of the nodes that are computed from those with `names`, these included."""
    seen = set(names)
    waiting = list(seen)
    readers: dict[str, list[str]] = {}
    for (name, _), reading in view.consumers.items():
        readers.setdefault(name, []).extend(reading)
    while waiting:
        for name in readers.get(waiting.pop(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return frozenset(seen)


def data_sources(view: View, names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that bring data in: what is fed, iterators and queues.

    Bools and scalars are none, as a phase or a rate may be fed.
    """
    return frozenset(name for name in names if _is_source(view, view.nodes[name]))


def _is_source(view: View, node: Node) -> bool:
    if node.op not in _SOURCES and "Dequeue" not in node.op:
        return False
    boolean = "dtype" in node.attributes and node.attributes["dtype"].type == _BOOL
    return not boolean and shape_of(view, (node.name, 0)) != ()
