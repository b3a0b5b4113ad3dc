"""Reads deviations.txt, the list of deliberate differences from TF 1.15.5."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.conformance.cases import CASES
from tests.conformance.compare import ASPECTS
from tests.conftest import tf_version

FILE = Path(__file__).resolve().parent / "deviations.txt"
ALLOWED_ASPECTS = (*ASPECTS, "instead")


class Deviation(NamedTuple):
    """In the cases that match, `candidate` may and must differ in these aspects."""

    line: int
    candidate: str
    pattern: str
    aspects: tuple
    reason: str

    def matches(self, name: str) -> bool:
        # Names hold brackets, so only the star is special.
        return re.fullmatch(re.escape(self.pattern).replace(r"\*", ".*"), name) is not None

    def concerns(self, label: str) -> bool:
        read = re.fullmatch(r"([\w.]+?)(?:(>=|<)([\d.]+))?", self.candidate)
        assert read is not None, self.candidate
        name, sign, version = read.groups()
        if name != label:
            return False
        if sign is None:
            return True
        wanted = tuple(int(part) for part in version.split("."))
        found = tf_version()[: len(wanted)]
        return found >= wanted if sign == ">=" else found < wanted


def read_all() -> list:
    found = []
    for number, line in enumerate(FILE.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ")]
        assert len(parts) == 4 and all(parts), f"deviations.txt:{number}: four fields are needed"
        candidate, pattern, aspects, reason = parts
        found.append(Deviation(number, candidate, pattern, tuple(aspects.split()), reason))
    return found


def for_candidate(label: str) -> list:
    return [deviation for deviation in read_all() if deviation.concerns(label)]


def aspects_for(label: str, name: str) -> set:
    """The aspects in which this case is expected to differ."""
    return {a for d in for_candidate(label) if d.matches(name) for a in d.aspects}


def cases_of(deviation: Deviation) -> list:
    return [name for name in CASES if deviation.matches(name)]
