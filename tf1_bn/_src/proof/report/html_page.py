# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML page without scripts or outside files; drift plots are inline SVG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Iterable

from ...files.svg import element, escaped

if TYPE_CHECKING:
    from .report import Report, Section
    from .rows import Row

_STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; margin: .5em 0 1em; font-size: 13px; }
td, th { border: 1px solid #bbb; padding: .2em .6em; text-align: left; vertical-align: top; }
th { background: #eee; }
.same { color: #0a5c2b; } .different { color: #a3000b; font-weight: bold; } .not { color: #666; }
td.number { font-family: monospace; white-space: nowrap; }
.cause { background: #fff2cc; padding: .4em .8em; }
svg text { font: 11px sans-serif; }
"""
_HEADINGS = (
    "aspect",
    "step",
    "expected",
    "actual",
    "greatest absolute difference",
    "greatest relative difference",
    "error",
    "allowed",
    "verdict",
)
_WIDTH, _HEIGHT, _MARGIN = 640, 220, 60
# Dark enough on white, and told apart by the colour-blind (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def page(report: Report) -> str:
    """Returns the whole page."""
    facts = "".join(
        f"<tr><th>{escaped(k)}</th><td>{escaped(v)}</td></tr>" for k, v in report.facts.items()
    )
    overview = "".join(
        f'<tr><td><a href="#s{number}">{escaped(section.name)}</a></td>{_verdict(section.verdict)}'
        f"<td>{escaped('; '.join(section.causes))}</td></tr>"
        for number, section in enumerate(report.sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escaped(report.title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escaped(report.title)}: {escaped(report.verdict)}</h1>\n<table>{facts}</table>\n"
        f"<table><tr><th>part</th><th>verdict</th><th>likely cause</th></tr>{overview}</table>\n"
        + "\n".join(_section(number, part) for number, part in enumerate(report.sections))
        + "</body></html>\n"
    )


def _section(number: int, section: Section) -> str:
    causes = "".join(f'<p class="cause">Likely cause: {escaped(c)}.</p>' for c in section.causes)
    notes = "".join(f"<p>{escaped(note)}</p>" for note in section.notes)
    headings = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    rows = "\n".join(_row(row) for row in section.rows)
    return (
        f'<h2 id="s{number}">{escaped(section.name)}</h2>{causes}{notes}{_plot(section)}'
        f"<table><tr>{headings}</tr>\n{rows}</table>"
    )


def _row(row: Row) -> str:
    *numbers, allowed = row.numbers()
    why = "" if row.tolerance is None else row.tolerance.derivation
    numbers.append(f'<span title="{escaped(why)}">{allowed}</span>' if allowed else "")
    actual = f"{row.actual} {row.remark}".strip()
    texts = "".join(f"<td>{escaped(t)}</td>" for t in (row.aspect, row.step, row.expected, actual))
    cells = "".join(f'<td class="number">{cell}</td>' for cell in numbers)
    return f"<tr>{texts}{cells}{_verdict(row.verdict)}</tr>"


def _verdict(verdict: str) -> str:
    return f'<td class="{escaped(verdict)}">{escaped(verdict)}</td>'


def _plot(section: Section) -> str:
    """Error over tolerance against the step, a line a quantity; nothing for a single step."""
    lines: dict[str, list[tuple[str, float]]] = {}
    for row in section.rows:
        if not math.isnan(row.ratio):
            lines.setdefault(row.aspect, []).append((row.step, row.ratio))
    lines = {aspect: points for aspect, points in lines.items() if len(points) > 1}
    if not lines:
        return ""
    steps = list(dict.fromkeys(step for points in lines.values() for step, _ in points))
    shown = [_decade(ratio) for points in lines.values() for _, ratio in points]
    low, high = min([-3.0, *shown]), max([1.0, *shown])

    def at(step: str, value: float) -> tuple[float, float]:
        x = _MARGIN + (_WIDTH - 2 * _MARGIN) * steps.index(step) / max(1, len(steps) - 1)
        y = _HEIGHT - _MARGIN / 2 - (_HEIGHT - _MARGIN) * (value - low) / (high - low)
        return x, y

    parts = [_line([at(steps[0], 0.0), at(steps[-1], 0.0)], "#a3000b", dashed=True)]
    parts.append(_text(_WIDTH - _MARGIN + 4, at(steps[0], 0.0)[1] + 4, "allowed"))
    for decade in range(math.ceil(low), math.floor(high) + 1):
        parts.append(_text(4, at(steps[0], decade)[1] + 4, f"1e{decade}"))
    for step in (steps[0], steps[-1]):
        parts.append(_text(at(step, low)[0] - 15, _HEIGHT - 2, step))
    for number, (aspect, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(_line([at(step, _decade(ratio)) for step, ratio in points], colour))
        parts.append(_text(_WIDTH + 10, 16 + 14 * number, aspect, colour))
    height = max(_HEIGHT, 20 + 14 * len(lines))
    return (
        f'<figure><svg width="{_WIDTH + 220}" height="{height}" role="img" '
        f'aria-label="error over tolerance by step">{"".join(parts)}</svg>'
        "<figcaption>Error as a multiple of what is allowed, by step.</figcaption></figure>"
    )


def _decade(ratio: float) -> float:
    """The logarithm, within what a plot can show; 0 is drawn at the bottom."""
    if ratio <= 0:
        return -6.0
    return max(-6.0, min(9.0, math.log10(ratio))) if math.isfinite(ratio) else 9.0


def _line(points: Iterable[tuple[float, float]], colour: str, dashed: bool = False) -> str:
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = {"stroke_dasharray": "5 4"} if dashed else {}
    return element("polyline", points=listed, fill="none", stroke=colour, **dashes)


def _text(x: float, y: float, text: str, colour: str = "#333") -> str:
    return element("text", escaped(text), x=f"{x:.0f}", y=f"{y:.0f}", fill=colour)
