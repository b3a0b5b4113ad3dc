# SPDX-License-Identifier: Apache-2.0
"""What the doctor of a program says at its end, as lines and as an exit code."""

from __future__ import annotations

from typing import Iterator, NamedTuple

from ...files.text_table import printable, wrapped
from ..facts.finding import Findings
from .attending import Attending, Ended

CLEAN, FOUND, NOTHING_TO_CHECK = 0, 1, 2


class Told(NamedTuple):
    """Lines for standard error, and the exit code of `--check`: see `code_of`."""

    lines: list[str]
    code: int


def told(doctor: Attending, width: int | None, until: str = "") -> Told:
    """What the doctor of a program has to say.

    Args:
      doctor: the one beside the program.
      width: the columns that a line may have; None for any number.
      until: what ended the program early; "" for nothing.
    """
    try:
        ended = doctor.ended(until)
    except Exception as error:
        # The program's own result stands, whatever we cannot say.
        what = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        trouble = f"the program was not judged, by a mistake of tf1_bn: {what}"
        ended = Ended((trouble,), Findings(), False)
    return Told([part for line in _lines(ended) for part in wrapped(line, width)], code_of(ended))


def code_of(ended: Ended) -> int:
    """0 for clean, 1 for a warning or an error, 2 if there was no layer to check."""
    if ended.findings.of("warning", "error"):
        return FOUND
    return CLEAN if ended.is_known else NOTHING_TO_CHECK


def _lines(ended: Ended) -> Iterator[str]:
    """What was built and ran, warnings with what follows and what mends them, notes in a line."""
    yield from ended.facts
    for finding in ended.findings:
        lines = [printable(line) for line in str(finding).splitlines()]
        yield from lines[:1] if finding.level == "note" else lines
