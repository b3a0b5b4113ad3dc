# SPDX-License-Identifier: Apache-2.0
"""What a session run executes of each batch-norm call, by what it fetches and what it is fed."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of
from .seen import Seen


class Part(NamedTuple):
    """What a session run executes of one call.

    output: whether the output is computed. updates: how many of its update ops run. values: the
    arguments among `seen.values` that are computed or fed.
    """

    seen: Seen
    output: bool
    updates: int
    values: tuple[str, ...]


def parts_executed(calls: Iterable[Seen], targets: list[Any], fed: list[Any]) -> list[Part]:
    """Returns the part of each call that a run of `targets` executes.

    Args:
      calls: of the graph that the run is of.
      targets: the ops and tensors that are fetched.
      fed: the tensors that are fed.
    """
    needed, given = _needed(targets, fed), names_of(fed)
    return [
        Part(
            seen,
            seen.outputs.op in needed,
            _updates_among(needed, seen),
            # A momentum that only the updates use may need a placeholder that nobody feeds.
            tuple(k for k, v in seen.values.items() if op_of(v) in needed or v.name in given),
        )
        for seen in calls
    ]


def elements(graph: Any, fetches: Any) -> list[Any]:
    """Returns the graph's ops and tensors in what is fetched or fed, however that is nested."""
    found = []
    for fetch in _leaves(fetches):
        parts = [
            getattr(fetch, k)
            for k in ("values", "indices")
            if hasattr(fetch, k) and hasattr(fetch, "dense_shape")
        ] or [fetch]
        for part in parts:
            try:
                found.append(graph.as_graph_element(part))
            except (KeyError, TypeError, ValueError):
                # Sessions know more kinds of fetches; none that programs train by.
                continue
    return found


def names_of(found: list[Any]) -> tuple[str, ...]:
    """Returns the names of ops and tensors, sorted."""
    return tuple(sorted(each.name for each in found))


def _updates_among(needed: set[Operation], seen: Seen) -> int:
    if seen.in_place:
        return int(seen.phase != "inference" and seen.outputs.op in needed)
    return sum(update in needed for update in seen.updates)


def _leaves(fetches: Any) -> list[Any]:
    """What a nested fetch is made of; not tf.nest, which wants dicts with keys that sort."""
    if isinstance(fetches, dict):
        fetches = list(fetches.values())
    if not isinstance(fetches, (list, tuple)) or hasattr(fetches, "dense_shape"):
        return [fetches]
    return [leaf for part in fetches for leaf in _leaves(part)]


def _needed(targets: list[Any], fed: list[Any]) -> set[Operation]:
    """The ops that a session runs for `targets`: none that only what is fed would need."""
    given = {tensor.name for tensor in fed}
    wanted = [target for target in targets if target.name not in given]
    return set(needed_ops(wanted, follows=lambda edge: edge.name not in given))
