# SPDX-License-Identifier: Apache-2.0
"""What a comparison found: sections of rows, as text, JSON and exit code. NumPy only."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from ...files.text_table import counted, fitted, printable, wrapped
from ...files.whole_files import write_text
from .rows import DIFFERENT, NOT_COMPARED, SAME, Row

PROVEN, NOT_PROVEN, COULD_NOT_COMPARE = 0, 1, 2
_VERDICT_WORDS = {PROVEN: "proven", NOT_PROVEN: "DIFFERENT", COULD_NOT_COMPARE: "could not compare"}
_COLUMNS = ("", "aspect", "step", "expected", "actual", "abs diff", "rel diff", "error", "allowed")


class Section(NamedTuple):
    """The rows of one layer, or of one point of the parity standard.

    causes: the likely ones of its differences. notes: what the recording says of the layer.
    """

    name: str
    rows: list[Row]
    causes: list[str]
    notes: list[str]

    @property
    def verdict(self) -> str:
        verdicts = {row.verdict for row in self.rows}
        if DIFFERENT in verdicts:
            return DIFFERENT
        return SAME if SAME in verdicts else NOT_COMPARED


class Report(NamedTuple):
    """A whole comparison: `facts` say what was compared with what, and where."""

    title: str
    facts: dict[str, str]
    sections: list[Section]

    @property
    def exit_code(self) -> int:
        """0: proven. 1: something is different. 2: something could not be compared at all."""
        verdicts = [section.verdict for section in self.sections]
        if DIFFERENT in verdicts:
            return NOT_PROVEN
        return COULD_NOT_COMPARE if NOT_COMPARED in verdicts or not verdicts else PROVEN

    @property
    def verdict(self) -> str:
        return _VERDICT_WORDS[self.exit_code]

    @property
    def causes(self) -> list[str]:
        """All causes that were named, each once, in order."""
        return list(dict.fromkeys(cause for part in self.sections for cause in part.causes))

    def text(self, all_rows: bool = False, width: int | None = None) -> str:
        """A table for the terminal: of layers that agree one line, of others each differing row.

        `width`: the columns that lines are to fit in, if there is a limit.
        """
        lines = [printable(self.title)]
        lines += [f"  {printable(k)}: {printable(v)}" for k, v in self.facts.items()]
        for section in self.sections:
            lines += ["", *_section_lines(section, all_rows, width)]
        counts = ", ".join(
            f"{sum(s.verdict == verdict for s in self.sections)} {verdict}"
            for verdict in (SAME, DIFFERENT, NOT_COMPARED)
        )
        lines += ["", f"{self.verdict}: {counts}"]
        return "\n".join(part for line in lines for part in wrapped(line, width)) + "\n"

    def as_json(self) -> str:
        """Everything, for programs; NaN and infinity stand as texts."""
        return json.dumps(_plain(self), indent=1, allow_nan=False) + "\n"

    def html(self) -> str:
        """One page that needs nothing else: what differs first, a chart for each layer."""
        from .html_page import page

        return page(self)

    def write_json(self, path: str) -> None:
        """Writes `as_json` beside `path` and renames it."""
        write_text(path, self.as_json())

    def write_html(self, path: str) -> None:
        """Writes `html` beside `path` and renames it."""
        write_text(path, self.html())


def _section_lines(section: Section, all_rows: bool, width: int | None) -> list[str]:
    shown = [row for row in section.rows if all_rows or row.verdict == DIFFERENT]
    ratios = [row.ratio for row in section.rows if not math.isnan(row.ratio)]
    worst = f", greatest error {max(ratios):.2g} of what is allowed" if ratios else ""
    what = counted(sum(row.verdict != NOT_COMPARED for row in section.rows), "aspect")
    lines = [f"[{section.verdict}] {printable(section.name)}: {what} compared{worst}"]
    if shown:
        inner = None if width is None else width - 2
        table = fitted([_COLUMNS, *(_cells(row) for row in shown)], inner)
        lines += [f"  {line}" for line in table]
    skipped = {(r.aspect, r.remark) for r in section.rows if r.verdict == NOT_COMPARED}
    lines += [f"  not compared: {printable(f'{a} ({why})')}" for a, why in sorted(skipped)]
    lines += [f"  note: {printable(note)}" for note in section.notes]
    return lines + [f"  likely cause: {printable(cause)}" for cause in section.causes]


def _cells(row: Row) -> tuple[str, ...]:
    mark = {SAME: " ", DIFFERENT: "X", NOT_COMPARED: "-"}[row.verdict]
    values = (row.expected, row.actual if not row.remark else f"{row.actual} ({row.remark})")
    return (mark, row.aspect, row.step, *(_short(v) for v in values), *row.numbers())


def _short(text: str, width: int = 60) -> str:
    text = printable(text)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _plain(report: Report) -> dict[str, Any]:
    return {
        "format": "tf1_bn report",
        "title": report.title,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "facts": report.facts,
        "sections": [
            {
                "name": section.name,
                "verdict": section.verdict,
                "causes": section.causes,
                "notes": section.notes,
                "rows": [_plain_row(row) for row in section.rows],
            }
            for section in report.sections
        ],
    }


def _plain_row(row: Row) -> dict[str, Any]:
    plain: dict[str, Any] = {k: v for k, v in row._asdict().items() if isinstance(v, str)}
    if row.found is not None:
        found = row.found._asdict().items()
        plain["difference"] = {k: list(v) if isinstance(v, tuple) else _number(v) for k, v in found}
    if row.tolerance is not None:
        plain["tolerance"] = dict(row.tolerance._asdict())
    return plain


def _number(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
