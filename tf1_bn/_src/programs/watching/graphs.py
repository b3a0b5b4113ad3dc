# SPDX-License-Identifier: Apache-2.0
"""What is known of a layer, and of what sessions ran of a graph, by names; keeps no graph alive."""

from __future__ import annotations

from typing import NamedTuple, Sequence

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

    steps: tuple[tuple[str, ...], ...] = ()
    moves: tuple[tuple[str, ...], ...] = ()
    outputs: tuple[str, ...] = ()
    loaded: frozenset[str] = frozenset()
    gradients: tuple[tuple[str, ...], ...] = ()
    assigned: frozenset[str] = frozenset()

    def and_run(self, fetched: tuple[str, ...], executed: Executed) -> Ran:
        """With one more kind of run."""
        own = executed.loaded - executed.restored
        known = self._replace(
            loaded=self.loaded | (own if self.steps else executed.loaded),
            assigned=self.assigned | (own if self.gradients else frozenset()),
        )
        if any(map(is_gradient, fetched)):
            known = known._replace(gradients=_and_one(self.gradients, fetched))
        is_step = executed.is_step
        if is_step:
            return known._replace(steps=_and_one(self.steps, fetched))
        return known._replace(moves=_and_one(self.moves, fetched)) if executed.moved else known

    def and_outputs(self, outputs: Sequence[str]) -> Ran:
        """With ops that are served from now on, or kept in a file for it."""
        return self._replace(outputs=tuple(dict.fromkeys((*self.outputs, *outputs))))


def _and_one(
    runs: tuple[tuple[str, ...], ...], fetched: tuple[str, ...]
) -> tuple[tuple[str, ...], ...]:
    return (*runs, fetched) if len(runs) < _MOST_STEPS else runs


class Watched(NamedTuple):
    """As `Watch.layers`; whether anybody may use the averages; whether the graph was trained."""

    name: str
    state: str
    flag: str
    is_wanted: bool
    in_training: bool
    # An update op, and the scopes that were collected, if it is in none of them.
    outside: tuple[str, ...]
