"""Results as tables: plain text for the terminal, Markdown for pages."""

from __future__ import annotations

from typing import Sequence

from tests.benchmarks.measure import Ratio
from tests.benchmarks.results import CLOSE, MISSED, CostRow, Results, Row, cost_rows, rows
from tf1_bn._src.files.text_table import aligned

HEAD = (
    "case",
    "peer/ours",
    "spread",
    "floor",
    "",
    "ours/bare",
    "limit",
    "",
    "/with avgs",
    "dyn/const",
)
COST_HEAD = ("cost", "ours", "peer", "ratio", "bound", "")


def table(results: Results) -> str:
    """Every case with its ratios, floors and verdicts, then the costs."""
    cases = [_cells(row) for row in rows(results)]
    costs = [_cost_cells(row) for row in cost_rows(results)]
    parts = [headline(results)]
    parts += [_aligned([HEAD, *cases], (0, 4, 7)), summary(results)] if cases else []
    parts += [_aligned([COST_HEAD, *costs], (0, 5))] if costs else []
    return "\n\n".join(parts)


def _aligned(lines: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    right = set(range(len(lines[0]))) - set(left)
    return "\n".join(aligned(lines, right))


def headline(results: Results) -> str:
    return (
        f"TensorFlow {results.tensorflow}, oneDNN {results.onednn}, {results.variables}, "
        f"{results.cores} cores; peer: {results.peer}. Ratios of time: above 1 ours is faster "
        "than the peer, below 1 faster than the bare op."
    )


def summary(results: Results) -> str:
    found = list(rows(results))
    verdicts = [v for row in found for v in (row.peer_verdict, row.bare_verdict) if v]
    return (
        f"{len(found)} cases: {verdicts.count(MISSED)} floors missed, "
        f"{verdicts.count(CLOSE)} within the spread, of {len(verdicts)}"
    )


def markdown(results: Results) -> str:
    """The same tables for a page."""
    parts = [f"{headline(results)}\n"]
    cases = [_cells(row) for row in rows(results)]
    costs = [_cost_cells(row) for row in cost_rows(results)]
    parts += [markdown_table(HEAD, cases)] if cases else []
    parts += [markdown_table(COST_HEAD, costs)] if costs else []
    return "\n".join(parts)


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.case.name,
        number(row.peer),
        f"{row.peer.low:.2f}-{row.peer.high:.2f}" if row.peer else "",
        f"{row.floor:.2f}" if row.peer else "",
        row.peer_verdict,
        inverse(row.bare),
        f"{row.limit:.2f}" if row.limit else "",
        row.bare_verdict,
        inverse(row.averages),
        inverse(row.constant),
    )


def _cost_cells(row: CostRow) -> tuple[str, ...]:
    return (
        row.what,
        f"{row.ours:.4g}",
        f"{row.peer:.4g}",
        f"{row.ratio:.2f}",
        "" if row.bound is None else f"{row.bound:.2f}",
        row.verdict,
    )


def number(ratio: Ratio | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f}"


def inverse(ratio: Ratio | None) -> str:
    return "-" if ratio is None else f"{1 / ratio.median:.2f}"
