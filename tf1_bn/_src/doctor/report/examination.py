# SPDX-License-Identifier: Apache-2.0
"""All that was found in one file or in a folder of them: plain values."""

from __future__ import annotations

from typing import Any, Collection, Mapping, NamedTuple

import numpy as np

from ..facts.finding import Finding, Findings

_MOST_UNREAD = 20
STATISTICS = ("moving_mean", "moving_variance")


class Layer(NamedTuple):
    """A layer: its name, its phase in words, the library it looks like, and arrays by role."""

    name: str
    phase: str
    library: str
    arrays: Mapping[str, Any]

    def spread(self, role: str) -> tuple[float, float] | None:
        """The smallest and the greatest number; None where there are none."""
        array = self.arrays.get(role)
        if array is None or not np.size(array):
            return None
        return float(np.min(array)), float(np.max(array))


class Part(NamedTuple):
    """One graph or checkpoint.

    Attributes:
      path: where it stands.
      layers: in the order of the graph.
      findings: the worst first.
      unread: what of it could not be read, a line each.
      trouble: why nothing of it could be read; "" if it could.
    """

    path: str
    layers: tuple[Layer, ...] = ()
    findings: Findings = Findings()
    unread: tuple[str, ...] = ()
    trouble: str = ""


def unread_lines(part: Part) -> list[str]:
    """The first of the lines of what could not be read, and how many more there are."""
    more = len(part.unread) - _MOST_UNREAD
    return [*part.unread[:_MOST_UNREAD], *([f"{more} more"] if more > 0 else [])]


class Examination(NamedTuple):
    """What there is under one path, and a sentence on what was left out of it, or ""."""

    path: str
    parts: tuple[Part, ...]
    limit: str = ""

    def without(self, codes: Collection[str]) -> Examination:
        """The same but for findings of these codes."""
        parts = (
            each._replace(findings=Findings(f for f in each.findings if f.code not in codes))
            for each in self.parts
        )
        return self._replace(parts=tuple(parts))

    @property
    def found(self) -> list[tuple[str, Finding]]:
        """Each finding, with the path that it is about."""
        return [(part.path, each) for part in self.parts for each in part.findings]

    @property
    def troubles(self) -> list[str]:
        """A line for each part that could not be read."""
        return [part.trouble for part in self.parts if part.trouble]

    @property
    def exit_code(self) -> int:
        """2: something could not be read; 1: a warning or an error; 0: neither."""
        if self.troubles or not self.parts:
            return 2
        return int(any(each.level != "note" for _, each in self.found))
