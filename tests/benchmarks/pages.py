"""Writes what was measured into README, guide and this folder's page, between their markers."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterable, Mapping, Sequence

from tests.benchmarks import chart, report
from tests.benchmarks.grid import CASES, GROUPS, Case, Group
from tests.benchmarks.measure import Ratio
from tests.benchmarks.results import MISSED, Results, cost_rows, load, rows, write

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("recorded")
README = ROOT / "README.md"
GUIDE = ROOT / "migration_guide" / "speed.md"
DETAILS = Path(__file__).with_name("README.md")
CHART = ROOT / "migration_guide" / "speed.svg"

# The files of RESULTS: the newest TensorFlow, the same without oneDNN, TensorFlow 1, PyTorch.
NEWEST, NO_ONEDNN, FIRST, TORCH = "newest", "newest_no_onednn", "tf1.15", "torch"

# The kinds of call that most programs make; the README shows these alone.
MOST_USED = (
    "conv",
    "conv_first",
    "dense_medium",
    "dense_large",
    "sequence",
    "renorm_conv",
    "dense_infer",
    "dynamic_conv",
)
EVERY_KIND = tuple(group.name for group in GROUPS)


def recorded() -> dict[str, Results]:
    """The results that are kept with the project, by the names above."""
    return {path.stem: load(path) for path in sorted(RESULTS.glob("*.json"))}


def write_pages(found: Mapping[str, Results]) -> None:
    write(CHART, chart.draw(found[NEWEST]))
    for page, name, text in blocks(found):
        write(page, replaced(page.read_text(encoding="utf-8"), name, text))


def blocks(found: Mapping[str, Results]) -> list[tuple[Path, str, str]]:
    """What stands on which page between which markers."""
    return [
        (README, "benchmark lines", readme_block(found)),
        (GUIDE, "benchmark kinds", kinds_table(found, EVERY_KIND)),
        (DETAILS, "benchmark cases", case_table(found)),
        (DETAILS, "benchmark costs", cost_table(found)),
        (DETAILS, "benchmark onednn", onednn_table(found)),
    ]


def replaced(page: str, name: str, text: str) -> str:
    """The page with `text` between the two markers of `name`.

    Raises:
      ValueError: the page does not have each marker once, in order.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise ValueError(f"the page must have {start} and {end} once, in this order")
    head, rest = page.split(start)
    return f"{head}{start}\n{text.strip()}\n{end}{rest.split(end)[1]}"


def readme_block(found: Mapping[str, Results]) -> str:
    """Intro, the table of the kinds of call used most, the chart and where to read on."""
    newest = found[NEWEST]
    link = CHART.relative_to(ROOT).as_posix()
    return "\n".join(
        [
            f"Ratios of time on {newest.cores} cores with TensorFlow {newest.tensorflow}, from the "
            "slowest to the fastest size of a kind of call.",
            "A training step is the output, the gradients of input, gamma and beta, and both "
            "updates; the bare op is `FusedBatchNormV3` with nothing around it.",
            "A dash stands where one of the two has no such call.",
            "",
            kinds_table(found, MOST_USED),
            f"![The first column as a chart, a dot for each size]({link})",
            "",
            "`python -m tests.benchmarks` prints the table of every case on your machine; "
            "[the guide](migration_guide/speed.md) has every kind, and which kernel runs.",
        ]
    )


def kinds_table(found: Mapping[str, Results], names: Sequence[str]) -> str:
    """One line for each group that has one of these names and was measured."""
    newest = found[NEWEST]
    marks: list[tuple[str, Callable[[Group], Sequence[float]]]] = [
        (f"{newest.peer} / ours", lambda group: peer_ratios(newest, group)),
        ("ours / bare op", lambda group: [1 / r for r in contender(newest, "bare", group)]),
    ]
    if FIRST in found:
        first = found[FIRST]
        marks.append((f"{first.peer}'s own / ours there", lambda group: peer_ratios(first, group)))
    if TORCH in found:
        torch = found[TORCH]
        marks.append((f"{torch.peer} / ours", lambda group: torch_ratios(newest, torch, group)))
    lines = [
        [group.title, *(spanned(mark(group)) for _, mark in marks)]
        for group in GROUPS
        if group.name in names and peer_ratios(newest, group)
    ]
    return report.markdown_table(["kind of call", *(name for name, _ in marks)], lines)


def peer_ratios(results: Results, group: Group) -> list[float]:
    return contender(results, "peer", group)


def contender(results: Results, name: str, group: Group) -> list[float]:
    found = [results.cases.get(case.name, {}).get(name) for case in members(group)]
    return [ratio.median for ratio in found if isinstance(ratio, Ratio)]


def torch_ratios(newest: Results, torch: Results, group: Group) -> list[float]:
    """From two processes, so rougher than the others."""
    return [
        torch.seconds[case.name]["torch"] / newest.seconds[case.name]["ours"]
        for case in members(group)
        if case.name in torch.seconds and case.name in newest.seconds
    ]


def members(group: Group) -> Iterable[Case]:
    return (case for case in CASES if case.group == group.name)


def spanned(ratios: Sequence[float]) -> str:
    return chart.span(ratios) if ratios else "-"


def case_table(found: Mapping[str, Results]) -> str:
    newest = found[NEWEST]
    first = {row.case.name: row.peer for row in rows(found[FIRST])} if FIRST in found else {}
    head = ["case", "peer / ours", "quartiles", "floor", "ours / bare op", "at most"]
    head += ["ours / it with averages", "ours / ours constant", "on 1.15.5"]
    lines = [
        [
            row.case.name,
            report.number(row.peer),
            f"{row.peer.low:.2f} to {row.peer.high:.2f}" if row.peer else "-",
            bounded(row.floor, row.peer_verdict),
            report.inverse(row.bare),
            bounded(row.limit, row.bare_verdict),
            report.inverse(row.averages),
            report.inverse(row.constant),
            report.number(first.get(row.case.name)),
        ]
        for row in rows(newest)
    ]
    return report.markdown_table(head, lines)


def cost_table(found: Mapping[str, Results]) -> str:
    lines = [
        [
            row.what,
            f"{row.ours:.3g}",
            f"{row.peer:.3g}",
            f"{row.ratio:.2f}",
            bounded(row.bound, row.verdict),
            "-" if row.least is None else f"{row.least:.3g}",
        ]
        for row in cost_rows(found[NEWEST])
    ]
    head = ["what", "ours", found[NEWEST].peer, "ratio", "floor or limit", "its ops alone"]
    return report.markdown_table(head, lines)


def bounded(bound: float | None, verdict: str) -> str:
    """What was asked for, in bold where it was not reached."""
    if bound is None or not verdict:
        return "-"
    return f"**{bound:.2f}**" if verdict == MISSED else f"{bound:.2f}"


def onednn_table(found: Mapping[str, Results]) -> str:
    """Time without oneDNN over time with it, ours and the peer's; from two processes."""
    if NO_ONEDNN not in found:
        return "Not measured."
    on, off = found[NEWEST].seconds, found[NO_ONEDNN].seconds
    lines = []
    for group in GROUPS:
        cases = [case.name for case in members(group) if case.name in on and case.name in off]
        cells = [
            spanned([off[c][who] / on[c][who] for c in cases if who in on[c] and who in off[c]])
            for who in ("ours", "peer")
        ]
        if cases:
            lines.append([group.title, *cells])
    return report.markdown_table(
        ["kind of call", "ours, off / on", f"{found[NEWEST].peer}, off / on"], lines
    )
