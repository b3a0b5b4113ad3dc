# SPDX-License-Identifier: Apache-2.0
"""What a comparison found: rows with a verdict, as text, JSON and exit code. NumPy only."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import numpy as np

from ...files.text_table import aligned, counted, printable
from ...files.whole_files import write_text
from .differences import Difference, difference
from .tolerances import EXACT, Tolerance

SAME, DIFFERENT, NOT_COMPARED = "same", "different", "not compared"
PROVEN, NOT_PROVEN, COULD_NOT_COMPARE = 0, 1, 2
_VERDICT_WORDS = {PROVEN: "proven", NOT_PROVEN: "DIFFERENT", COULD_NOT_COMPARE: "could not compare"}
_COLUMNS = ("", "aspect", "step", "expected", "actual", "abs diff", "rel diff", "error", "allowed")


class Row(NamedTuple):
    """One aspect at one step: what was expected, what came, and the verdict."""

    aspect: str
    step: str
    verdict: str
    expected: str = ""
    actual: str = ""
    found: Difference | None = None
    tolerance: Tolerance | None = None
    remark: str = ""

    @property
    def ratio(self) -> float:
        """The error as a multiple of what is allowed; NaN where no numbers were compared."""
        if self.found is None or self.tolerance is None:
            return math.nan
        if self.found.error == 0:
            return 0.0
        allowed = self.tolerance.error
        return self.found.error / allowed if allowed else math.inf

    def numbers(self) -> tuple[str, str, str, str]:
        """Both differences with their places, the error, and what is allowed; "" for no numbers."""
        if self.found is None or self.tolerance is None:
            return "", "", "", ""
        found = self.found
        return (
            f"{found.absolute:.3g} at {list(found.absolute_at)}",
            f"{found.relative:.3g} at {list(found.relative_at)}",
            f"{found.error:.2g}",
            f"{self.tolerance.error:.2g}",
        )


class Section(NamedTuple):
    """The rows of one layer, or of one point of the parity standard, and the causes named."""

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

    def text(self, all_rows: bool = False) -> str:
        """A table for the terminal: of layers that agree one line, of others each differing row."""
        lines = [printable(self.title)]
        lines += [f"  {printable(k)}: {printable(v)}" for k, v in self.facts.items()]
        for section in self.sections:
            lines += ["", *_section_lines(section, all_rows)]
        counts = ", ".join(
            f"{sum(s.verdict == verdict for s in self.sections)} {verdict}"
            for verdict in (SAME, DIFFERENT, NOT_COMPARED)
        )
        return "\n".join([*lines, "", f"{self.verdict}: {counts}"]) + "\n"

    def as_json(self) -> str:
        """Everything, for programs; NaN and infinity stand as texts."""
        return json.dumps(_plain(self), indent=1, allow_nan=False) + "\n"

    def html(self) -> str:
        """One page that needs nothing else: tables and a drift plot for each section."""
        from .html_page import page

        return page(self)

    def write_json(self, path: str) -> None:
        """Writes `as_json` beside `path` and renames it."""
        write_text(path, self.as_json())

    def write_html(self, path: str) -> None:
        """Writes `html` beside `path` and renames it."""
        write_text(path, self.html())


def number_row(
    aspect: str,
    step: str,
    expected: Any,
    actual: Any,
    allowed: Tolerance,
    scale: Any = None,
) -> Row:
    """Compares two arrays of numbers; a missing one (None) is a difference."""
    if expected is None or actual is None:
        shown = ["missing" if v is None else summary(v) for v in (expected, actual)]
        return Row(aspect, step, DIFFERENT, shown[0], shown[1])
    found = difference(expected, actual, scale)
    verdict = SAME if found.error <= allowed.error else DIFFERENT
    return Row(
        aspect, step, verdict, summary(expected), summary(actual), found, allowed, found.remark
    )


def exact_row(aspect: str, expected: Any, actual: Any, step: str = "", remark: str = "") -> Row:
    """Compares two plain values, which must be equal."""
    verdict = SAME if expected == actual else DIFFERENT
    return Row(aspect, step, verdict, _text(expected), _text(actual), remark=remark)


def still_row(aspect: str, step: str, before: Any, after: Any) -> Row:
    """Compares two arrays that must be equal bit for bit."""
    return number_row(aspect, step, before, after, EXACT)


def skipped_row(aspect: str, reason: str, step: str = "") -> Row:
    """An aspect that was not compared, and why."""
    return Row(aspect, step, NOT_COMPARED, remark=reason)


def raised_row(aspect: str, step: str, error: BaseException) -> Row:
    """The candidate raised what the reference does not."""
    return Row(aspect, step, DIFFERENT, "no error", error_text(error))


def error_text(error: BaseException) -> str:
    """Returns an exception's type and the first line of what it says.

    >>> error_text(ValueError("no such axis"))
    'ValueError: no such axis'
    """
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"


def summary(values: Any) -> str:
    """An array in a few characters: its shape and the range of its values."""
    array = np.asarray(values)
    if array.size == 0:
        return f"{list(array.shape)} empty"
    if array.size == 1:
        return f"{float(array.reshape(-1)[0]):.7g}"
    wide = array.astype("float64")
    return f"{list(array.shape)} {wide.min():.4g}..{wide.max():.4g}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _section_lines(section: Section, all_rows: bool) -> list[str]:
    shown = [row for row in section.rows if all_rows or row.verdict == DIFFERENT]
    ratios = [row.ratio for row in section.rows if not math.isnan(row.ratio)]
    worst = f", greatest error {max(ratios):.2g} of what is allowed" if ratios else ""
    what = counted(sum(row.verdict != NOT_COMPARED for row in section.rows), "aspect")
    lines = [f"[{section.verdict}] {printable(section.name)}: {what} compared{worst}"]
    if shown:
        table = aligned([_COLUMNS, *(_cells(row) for row in shown)])
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
