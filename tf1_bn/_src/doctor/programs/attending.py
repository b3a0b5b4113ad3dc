# SPDX-License-Identifier: Apache-2.0
"""The doctor beside a program that runs: it watches, and judges the program's graphs at its end."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

from ...programs.watching.exit_report import facts_of
from ...programs.watching.graphs import Watched
from ...programs.watching.watch import Watch
from ..facts.finding import Finding, Findings, ordered
from .causes import findings_of
from .looking import Look, look

# Graphs that the program lets go are judged while it runs, and no longer than this in all.
_MOST_SECONDS = 20.0


class Ended(NamedTuple):
    """What there is to say at the end.

    Attributes:
      facts: sentences on what was built and ran.
      findings: of all graphs.
      is_known: whether there was a layer, and what was run of it could be seen.
    """

    facts: tuple[str, ...]
    findings: Findings
    is_known: bool


class Attending:
    """From `start` on; `ended` tells, and may be asked more than once."""

    def __init__(self, judges: bool = True) -> None:
        """`judges`: whether graphs are looked at; without it `ended` is not to be asked."""
        self.watch = Watch(self._leaving if judges else lambda graph: None)
        # By a graph's number: how large it was, what was run of it, and what was found.
        self._looks: dict[int, tuple[Any, Look]] = {}
        self._process, self._seconds = os.getpid(), 0.0

    def start(self) -> None:
        """Listens to calls and sessions."""
        self.watch.start()

    def stop(self) -> None:
        """Listens no more; what was seen stays."""
        self.watch.stop()

    def ended(self, until: str = "") -> Ended:
        """What there is to say now.

        Args:
          until: what ended the program early, "the error" for example; "" for nothing. Then nobody
            knows what it would have run, and nothing is found.
        """
        layers = self.watch.layers()
        if until:
            # Nobody knows what it would have run.
            return Ended(tuple(facts_of(self.watch, (), until)), Findings(), False)
        for graph in self.watch.graphs():
            self._look(graph)
        numbers = sorted({*self._looks, *self.watch.numbers()})
        looks = [self._looks[number][1] if number in self._looks else Look() for number in numbers]
        others = list(dict.fromkeys(other for each in looks for other in each.others))
        troubles = dict.fromkeys(line for each in looks for line in each.troubles)
        found = [each for known in looks for each in known.findings]
        for number, known in zip(numbers, looks):
            found += findings_of(self._trained(number, known))
        return Ended(
            (*facts_of(self.watch, others), *troubles),
            _together(found),
            bool((layers or others) and self.watch.sees_runs),
        )

    def _trained(self, number: int, known: Look) -> list[Watched]:
        """The layers of tf1_bn in a graph, without those that nothing trains."""
        if not self.watch.sees_runs:
            return []
        return [
            layer
            for mean, layer in self.watch.of_graph(number).items()
            if layer.in_training
            and mean not in known.untrained
            and layer.name not in known.stranded
        ]

    def _leaving(self, graph: Any) -> None:
        # A forked child has nothing to report.
        if os.getpid() == self._process and self._seconds < _MOST_SECONDS:
            start = time.monotonic()
            self._look(graph)
            self._seconds += time.monotonic() - start

    def _look(self, graph: Any) -> None:
        if hasattr(graph, "outer_graph"):
            # A function's, whose body stands in the graph that calls it.
            return
        number = self.watch.number(graph)
        ran, heard = self.watch.ran(number), self.watch.of_graph(number)
        seen = (graph.version, ran)
        if number not in self._looks or self._looks[number][0] != seen:
            self._looks[number] = seen, look(graph, ran, heard, self.watch.is_wanted)


def _together(findings: list[Finding]) -> Findings:
    """Those that say the same of several graphs or layers as one."""
    layers: dict[Finding, dict[str, None]] = {}
    for each in findings:
        layers.setdefault(each._replace(layers=()), {}).update(dict.fromkeys(each.layers))
    return ordered(each._replace(layers=tuple(names)) for each, names in layers.items())
