# SPDX-License-Identifier: Apache-2.0
"""An examination as one HTML page: findings first, then a table and a plot for each part."""

from __future__ import annotations

from typing import Sequence

from ...files.page import folded, table, whole_page
from ...files.svg import escaped
from ...files.text_table import counted
from ...version import __version__
from ..facts.finding import Finding
from .chart import statistics_chart
from .examination import STATISTICS, Examination, Part, unread_lines
from .texts import many, row_of

_FINDINGS = ("code", "level", "layers", "what is wrong", "what follows", "what mends it")
_LAYERS = ("layer", "phase", "library", *STATISTICS)
_CLASSES = {"note": "not"}


def page(examination: Examination) -> str:
    """Returns the whole page."""
    wrong = sum(each.level != "note" for _, each in examination.found)
    verdict = counted(wrong, "warning") if wrong else "no warning"
    kind = "different" if wrong or examination.troubles else "same"
    title = f"Doctor: {examination.path}"
    body = [
        f'<h1>{escaped(title)}: <span class="{kind}">{verdict}</span></h1>',
        f"<p>{escaped(_summary(examination))}</p>",
        *(f'<p class="cause">Not read: {escaped(each)}.</p>' for each in examination.troubles),
        *(_part(part) for part in examination.parts if not part.trouble),
        f'<p class="faint">tf1_bn {escaped(__version__)}</p>',
    ]
    return whole_page(f"{title}: {verdict}", {"found": _FINDINGS, "layers": _LAYERS}, body)


def _summary(examination: Examination) -> str:
    layers = sum(len(part.layers) for part in examination.parts)
    said = [
        f"{counted(layers, 'layer')} in {many(examination)}",
        *([examination.limit] if examination.limit else []),
    ]
    return f"{'; '.join(said)}."


def _part(part: Part) -> str:
    chart = statistics_chart(part.layers)
    return (
        f"<section><h2>{escaped(part.path)}</h2>{_findings(part.findings)}{chart}{_layers(part)}"
        + "".join(f'<p class="faint">Not read: {escaped(each)}</p>' for each in unread_lines(part))
        + "</section>"
    )


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<p class="same">No findings.</p>'
    heading = "".join(f"<th>{text}</th>" for text in _FINDINGS)
    return table([heading, *map(_finding, findings)], "found stacked")


def _finding(finding: Finding) -> str:
    kind = _CLASSES.get(finding.level, "different")
    cells = (", ".join(finding.layers), finding.wrong, finding.follows, finding.mend)
    marks = (f'<td class="verdict {kind}">{text}</td>' for text in (finding.code, finding.level))
    return "".join([*marks, *(f"<td>{escaped(cell)}</td>" for cell in cells)])


def _layers(part: Part) -> str:
    if not part.layers:
        return "<p>No batch normalization.</p>"
    heading = "".join(f"<th>{text}</th>" for text in _LAYERS)
    rows = ["".join(_cell(n, text) for n, text in enumerate(row_of(e))) for e in part.layers]
    told = table([heading, *rows], "layers stacked")
    return told if len(rows) <= 20 else folded(counted(len(rows), "layer"), told)


def _cell(number: int, text: str) -> str:
    kind = ' class="number"' if number >= len(_LAYERS) - len(STATISTICS) else ""
    return f"<td{kind}>{escaped(text)}</td>"
