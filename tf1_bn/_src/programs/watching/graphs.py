# SPDX-License-Identifier: Apache-2.0
"""What sessions ran of each graph, by the names of what they fetched; keeps no graph alive."""

from __future__ import annotations

import itertools
import weakref
from typing import Any, NamedTuple

from ...discovery.reading.nodes import is_gradient
from .executed import Executed

# More different ones are a program that builds as it goes, and tell nothing new.
_MOST_STEPS = 20


class Ran(NamedTuple):
    """What is known of a graph.

    Attributes:
      steps: of each kind of run in which an optimizer steps, the names of the ops it fetched.
      moves: the same of other runs that may train, or move averages.
      outputs: names of the ops that the graph was frozen or exported for.
      loaded: the variables that got a value from a checkpoint before the first step, or from the
        program.
      gradients: of each kind of run that fetches gradients, the names of the ops it fetched.
      assigned: the variables that the program gave a value behind such a run.
    """

    steps: tuple[tuple[str, ...], ...]
    moves: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...]
    loaded: frozenset[str]
    gradients: tuple[tuple[str, ...], ...] = ()
    assigned: frozenset[str] = frozenset()


class Graphs:
    """The graphs of a process by numbers, in the order in which they were noticed."""

    def __init__(self) -> None:
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next_number = itertools.count()
        self._steps: dict[int, dict[tuple[str, ...], None]] = {}
        self._moves: dict[int, dict[tuple[str, ...], None]] = {}
        self._outputs: dict[int, dict[str, None]] = {}
        self._loaded: dict[int, set[str]] = {}
        self._gradients: dict[int, dict[tuple[str, ...], None]] = {}
        self._assigned: dict[int, set[str]] = {}

    def number(self, graph: Any) -> int:
        """The number of a graph, a new one where it is noticed for the first time."""
        if graph not in self._numbers:
            self._numbers[graph] = next(self._next_number)
        return self._numbers[graph]

    def is_noticed(self, graph: Any) -> bool:
        """Whether a graph has a number already."""
        return graph is not None and graph in self._numbers

    def alive(self) -> list[Any]:
        """The graphs that somebody still holds."""
        return sorted(self._numbers, key=self._numbers.__getitem__)

    def ran(self, number: int, fetched: tuple[str, ...], executed: Executed) -> None:
        """Takes note of a kind of run."""
        trained = bool(self._steps.get(number))
        known = executed.loaded - executed.restored if trained else executed.loaded
        self._loaded.setdefault(number, set()).update(known)
        kind = self._steps if executed.is_step else self._moves
        runs = kind.setdefault(number, {})
        if (executed.is_step or executed.moved) and len(runs) < _MOST_STEPS:
            runs[fetched] = None
        if self._gradients.get(number):
            self._assigned.setdefault(number, set()).update(executed.loaded - executed.restored)
        if any(map(is_gradient, fetched)):
            differentiated = self._gradients.setdefault(number, {})
            if len(differentiated) < _MOST_STEPS:
                differentiated[fetched] = None

    def exported(self, number: int, outputs: list[str]) -> None:
        """Takes note that ops are served from now on, or kept in a file for it."""
        self._outputs.setdefault(number, {}).update(dict.fromkeys(outputs))

    def of(self, number: int) -> Ran:
        """All that is known of a graph."""
        return Ran(
            tuple(self._steps.get(number, ())),
            tuple(self._moves.get(number, ())),
            tuple(self._outputs.get(number, ())),
            frozenset(self._loaded.get(number, ())),
            tuple(self._gradients.get(number, ())),
            frozenset(self._assigned.get(number, ())),
        )
