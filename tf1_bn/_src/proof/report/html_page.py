# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML page without scripts or outside files: what differs first, the rest folded.

A layer has one section, of what it is made of and of what it computes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Iterable, Sequence

from ...files.page import folded, table, whole_page
from ...files.svg import escaped
from ...files.text_table import counted
from .drift_chart import drift_chart
from .rows import DIFFERENT, NOT_COMPARED, SAME, STRUCTURE_OF, Row

if TYPE_CHECKING:
    from .report import Report, Section

_OVERVIEW = ("verdict", "part", "error / allowed", "what", "likely cause, notes")
_ROWS = (
    "verdict",
    "aspect",
    "step",
    "expected",
    "actual",
    "greatest absolute difference",
    "greatest relative difference",
    "error",
    "allowed",
)
_MOST_NAMED = 4
_ORDER = (DIFFERENT, NOT_COMPARED, SAME)


def page(report: Report) -> str:
    """Returns the whole page."""
    layers = sorted(_by_layer(report.sections), key=lambda layer: _ORDER.index(layer.verdict))
    title = f"{report.title}: {report.verdict}"
    kind = {"proven": "same", "DIFFERENT": "different"}.get(report.verdict, "not")
    body = [
        f'<h1>{escaped(report.title)}: <span class="{kind}">{escaped(report.verdict)}</span></h1>',
        f"<p>{_counts([layer.verdict for layer in layers], 'part')}</p>",
        _overview(layers),
        "<h2>What was compared</h2>",
        table(
            [f"<th>{escaped(k)}</th><td>{escaped(v)}</td>" for k, v in report.facts.items()],
            "facts",
        ),
        *(_section(number, layer) for number, layer in enumerate(layers)),
        _allowances(layers),
    ]
    return whole_page(title, {"overview": _OVERVIEW, "rows": _ROWS}, body)


def _by_layer(sections: Iterable[Section]) -> list[Section]:
    """The sections of one layer as one, in the order in which the layers come first."""
    found: dict[str, Section] = {}
    for section in sections:
        name = section.name
        name = name[len(STRUCTURE_OF) :] if name.startswith(STRUCTURE_OF) else name
        known = found.get(name, section._replace(name=name, rows=[], causes=[], notes=[]))
        found[name] = known._replace(
            rows=[*known.rows, *section.rows],
            causes=list(dict.fromkeys([*known.causes, *section.causes])),
            notes=list(dict.fromkeys([*known.notes, *section.notes])),
        )
    return list(found.values())


def _counts(verdicts: Sequence[str], what: str) -> str:
    """How many things have which verdict, in words."""
    each = [f"{verdicts.count(v)} {v}" for v in _ORDER if v in verdicts]
    return f"{counted(len(verdicts), what)} compared: {', '.join(each)}." if each else "Nothing."


def _overview(layers: Sequence[Section]) -> str:
    """What differs or was not compared, with its likely cause; what is the same folds."""
    lines: dict[str, list[str]] = {DIFFERENT: [], NOT_COMPARED: [], SAME: []}
    for number, layer in enumerate(layers):
        why = "; ".join([*layer.causes, *layer.notes])
        lines[layer.verdict].append(
            f'{_verdict(layer.verdict)}<td><a href="#l{number}">{escaped(layer.name)}</a></td>'
            f'<td class="number">{_worst(layer)}</td><td>{escaped(_what(layer))}</td>'
            f"<td>{escaped(why)}</td>"
        )
    heading = "".join(f"<th>{text}</th>" for text in _OVERVIEW)
    odd, same = [*lines[DIFFERENT], *lines[NOT_COMPARED]], lines[SAME]
    first = table([heading, *odd], "overview stacked") if odd else ""
    others = table([heading, *same], "overview stacked")
    return first + (folded(f"{counted(len(same), 'part')} the same", others) if same else "")


def _section(number: int, layer: Section) -> str:
    verdicts = [row.verdict for row in layer.rows]
    text = (
        "".join(f'<p class="cause">Likely cause: {escaped(c)}.</p>' for c in layer.causes)
        + "".join(f"<p>{escaped(note)}</p>" for note in layer.notes)
        + drift_chart(layer.rows)
        + _rows([row for row in layer.rows if row.verdict != SAME])
    )
    same = [row for row in layer.rows if row.verdict == SAME]
    heading = (
        f'<h2>{escaped(layer.name)}: <span class="{_class(layer.verdict)}">{layer.verdict}</span>'
        "</h2>"
    )
    if layer.verdict == SAME:
        worst = f", greatest error {_worst(layer)} of what is allowed" if _worst(layer) else ""
        said = f'{heading} <span class="faint">{_counts(verdicts, "row")[:-1]}{worst}</span>'
        inside = folded(said, text + _rows(same))
        return f'<section class="folded" id="l{number}">{inside}</section>'
    hidden = folded(f"{counted(len(same), 'row')} the same", _rows(same)) if same else ""
    counts = f'<p class="faint">{_counts(verdicts, "row")}</p>'
    return f'<section id="l{number}">{heading}{counts}{text}{hidden}</section>'


def _rows(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    ordered = sorted(rows, key=lambda row: _ORDER.index(row.verdict))
    heading = "".join(f"<th>{text}</th>" for text in _ROWS)
    return table([heading, *map(_row, ordered)], "rows stacked")


def _row(row: Row) -> str:
    actual = f"{row.actual} {row.remark}".strip()
    texts = "".join(f"<td>{escaped(t)}</td>" for t in (row.aspect, row.step, row.expected, actual))
    numbers = "".join(f'<td class="number">{escaped(cell)}</td>' for cell in row.numbers())
    return f"{_verdict(row.verdict)}{texts}{numbers}"


def _allowances(layers: Sequence[Section]) -> str:
    """How each number in the column "allowed" was found."""
    used = {row.tolerance for layer in layers for row in layer.rows if row.tolerance is not None}
    lines = [
        f'<td class="number">{entry.error:.2g}</td><td>{escaped(entry.derivation)}</td>'
        for entry in sorted(used)
    ]
    if not lines:
        return ""
    listed = table(["<th>allowed</th><th>why</th>", *lines])
    return f"<section>{folded('How what is allowed was found', listed)}</section>"


def _what(layer: Section) -> str:
    """Which rows decided the verdict, where it is not that all are the same."""
    if layer.verdict == SAME:
        return ""
    decisive = [row for row in layer.rows if row.verdict == layer.verdict]
    if layer.verdict == NOT_COMPARED:
        return "; ".join(dict.fromkeys(f"{row.aspect}: {row.remark}" for row in decisive))
    names = list(dict.fromkeys(row.aspect for row in decisive))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _worst(layer: Section) -> str:
    ratios = [row.ratio for row in layer.rows if not math.isnan(row.ratio)]
    return f"{max(ratios):.2g}" if ratios else ""


def _verdict(verdict: str) -> str:
    return f'<td class="verdict {_class(verdict)}">{verdict}</td>'


def _class(verdict: str) -> str:
    return verdict.split()[0]
