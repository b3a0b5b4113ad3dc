# SPDX-License-Identifier: Apache-2.0
"""What the doctor of a program says at its end, as lines and as an exit code."""

from __future__ import annotations

from typing import Collection, Iterator, NamedTuple

from ...files.text_table import counted, printable, wrapped
from ..facts.finding import Findings
from .attending import Attending, Ended

CLEAN, FOUND, NOTHING_TO_CHECK = 0, 1, 2
# Notes that say why the updates did not run, which the first line has told.
_REASONS = ("BN301",)


class Told(NamedTuple):
    """Lines for standard error, and the exit code of `--check`: see `code_of`."""

    lines: list[str]
    code: int


def told(
    doctor: Attending,
    width: int | None,
    until: str = "",
    is_check: bool = False,
    ignored: Collection[str] = (),
) -> Told:
    """What the doctor of a program has to say.

    Args:
      doctor: the one beside the program.
      width: the columns that a line may have; None for any number.
      until: what ended the program early; "" for nothing.
      is_check: whether `--check` asks for it: then each note has a line of its own.
      ignored: codes that are not to be told, and do not count.
    """
    try:
        ended = doctor.ended(until)
        kept = (each for each in ended.findings if each.code not in ignored)
        ended = ended._replace(findings=Findings(kept))
    except Exception as error:
        # The program's own result stands, whatever we cannot say.
        what = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        trouble = f"the program was not judged, by a mistake of tf1_bn: {what}"
        ended = Ended((trouble,), Findings(), False)
    lines = _lines(ended, is_check)
    return Told([part for line in lines for part in wrapped(line, width)], code_of(ended))


def code_of(ended: Ended) -> int:
    """0 for clean, 1 for a warning or an error, 2 if there was no layer to check."""
    if ended.findings.of("warning", "error"):
        return FOUND
    return CLEAN if ended.is_known else NOTHING_TO_CHECK


def _lines(ended: Ended, is_check: bool) -> Iterator[str]:
    """What was built and ran, warnings with what follows and what mends them, notes in a line."""
    yield from ended.facts
    hidden = []
    for finding in ended.findings:
        lines = [printable(line) for line in str(finding).splitlines()]
        if finding.level != "note":
            yield from lines
        elif is_check or finding.code in _REASONS:
            yield lines[0]
        else:
            hidden.append(finding.code)
    if hidden:
        them = "it" if len(hidden) == 1 else "them"
        codes = ", ".join(dict.fromkeys(hidden))
        yield f"{counted(len(hidden), 'note')}: {codes} (--check tells {them})"
