# SPDX-License-Identifier: Apache-2.0
"""A finding about layers of a graph, and its codes; a code never changes its meaning.

Mistakes that the source shows as well have the code, level and page that they have there.
"""

from __future__ import annotations

import difflib
from typing import Any, Iterable, Mapping, NamedTuple, Tuple

from ...scan.finding import CODES as OF_SOURCES
from ...scan.finding import LEVELS, Code

_MOST_NAMES = 4
_SHARED = ("BN101", "BN102", "BN104", "BN110", "BN112")


class Finding(NamedTuple):
    """A mistake, and the layers that have it.

    Attributes:
      code: what kind of mistake.
      layers: names, in the order of the graph.
      wrong: what is wrong, as a sentence that the layers begin.
      follows: what follows from it.
      mend: the line that mends it.
    """

    code: str
    layers: tuple[str, ...]
    wrong: str
    follows: str
    mend: str

    @property
    def level(self) -> str:
        return CODES[self.code].level

    def __str__(self) -> str:
        names = ", ".join(self.layers[:_MOST_NAMES])
        more = len(self.layers) - _MOST_NAMES
        names += f" and {more} more" if more > 0 else ""
        lines = [f"{self.code} {self.level}: {names}: {self.wrong}"]
        lines += [f"  so:   {self.follows}"] if self.follows else []
        lines += [f"  mend: {self.mend}"] if self.mend else []
        return "\n".join(lines)


class Findings(Tuple[Finding, ...]):
    """Findings, warnings first, that print as a text; empty where there is nothing to say."""

    def __str__(self) -> str:
        return "\n".join(map(str, self)) if self else "no findings"

    def of(self, *levels: str) -> Findings:
        """Those of these levels."""
        return Findings(each for each in self if each.level in levels)


def ordered(findings: Iterable[Finding]) -> Findings:
    """By level, the worst first, and by code."""
    return Findings(sorted(findings, key=lambda each: (-LEVELS.index(each.level), each.code)))


CODES: Mapping[str, Code] = {
    **{code: OF_SOURCES[code] for code in _SHARED},
    "BN105": Code("warning", "The phase was inference in every run of a program that trains."),
    "BN301": Code("note", "The train op does not run the update ops; something else may."),
    "BN302": Code("warning", "The update ops stand where nothing can run them."),
    "BN303": Code("warning", "The train op runs updates by data that its loss does not need."),
    "BN304": Code("note", "Several updates write one statistic, in no order."),
    "BN305": Code("warning", "An output depends on the other examples of its batch."),
    "BN306": Code("warning", "A Saver leaves moving statistics out."),
    "BN307": Code("warning", "What is normalized is not the channels of the convolution."),
    "BN308": Code("warning", "In training there is one value a channel."),
    "BN309": Code("note", "The momentum looks like one of PyTorch."),
    "BN310": Code("note", "Not trainable, and in training all the same."),
    "BN311": Code("warning", "A trained layer's update ops are in no collection, and do not run."),
    "BN312": Code("note", "Two layers of one name but for a number, perhaps meant to be one."),
    "BN313": Code("note", "A bias stands before batch normalization."),
    "BN401": Code("warning", "A checkpoint lacks moving statistics."),
    "BN402": Code("warning", "A trained layer has moving statistics that never moved."),
    "BN403": Code("warning", "Numbers of a layer are not finite, or a variance is below 0."),
    "BN404": Code("note", "An exported graph keeps the branch of training."),
    "BN405": Code("note", "A checkpoint has gamma or beta without moving statistics."),
    "BN406": Code("warning", "A checkpoint has a part of renorm's averages."),
    "BN407": Code("warning", "This TensorFlow refuses nodes of the graph."),
    "BN501": Code("warning", "Moving statistics stand still while the layer is trained."),
    "BN502": Code("warning", "Moving statistics are not finite while a program runs."),
    "BN503": Code("warning", "A run without a gradient step moves the moving statistics."),
    "BN504": Code("note", "A layer is evaluated before its averages are old enough."),
}


def codes_of(ignore: Any, argument: str = "`ignore`") -> frozenset[str]:
    """The codes that are not to be told, of a code or several.

    Args:
      ignore: what a caller gave.
      argument: as errors call it.

    Raises:
      TypeError: `ignore` is neither a code nor several.
      ValueError: one of them does not exist; the nearest one is named.
    """
    if not isinstance(ignore, Iterable):
        raise TypeError(f"{argument} must be codes, in a list (got {ignore!r}).")
    given = [ignore] if isinstance(ignore, str) else list(ignore)
    for code in given:
        if not isinstance(code, str) or code not in CODES:
            near = difflib.get_close_matches(str(code).upper(), sorted(CODES), 1, 0.6)
            meant = f", did you mean {near[0]!r}?" if near else ""
            known = "such as BN304" if near else ", ".join(sorted(CODES))
            raise ValueError(f"{argument} must hold codes, {known} (got {code!r}{meant}).")
    return frozenset(given)
