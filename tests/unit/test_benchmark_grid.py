"""The benchmarks' own rules: the grid holds every promise, and the pages show what was recorded."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import chart, grid, kernel_rule, pages, report, row_rule, vector_rule
from tests.benchmarks.grid import CASES, GROUPS, Case, Phase, group_of
from tests.benchmarks.measure import Ratio, compare, quartiles
from tests.benchmarks.results import (
    CLOSE,
    MISSED,
    OK,
    Results,
    cost_rows,
    load,
    rows,
    save,
    verdict,
    write,
)
from tf1_bn._src.plan.costs import Costs

# The least of peer's time / ours that each kind of call must reach on a TensorFlow without a layer.
FLOORS = {
    "conv": 1.0,
    "conv_first": 1.0,
    "dense_tiny": 1.15,
    "dense_medium": 1.6,
    "dense_large": 2.5,
    "sequence": 1.9,
    "rank5": 1.9,
    "renorm_conv": 2.6,
    "renorm_dense": 2.0,
    "ghost_conv": 5.5,
    "ghost_dense": 2.2,
    "dense_infer": 2.0,
    "conv_infer": 1.0,
    "dynamic_conv": 1.1,
}
# The most of ours / the bare op.
LIMITS = {
    "conv": 1.05,
    "conv_first": 1.05,
    "renorm_conv": 1.25,
    "renorm_dense": 1.25,
    "ghost_conv": 1.6,
    "ghost_dense": 1.6,
}


def results(ratio: float = 2.0, tensorflow: str = "2.21.0") -> Results:
    """As if every case had been measured alike."""
    found = Results(tensorflow, "tf_keras 2.21.0", 2, "default", "TF1 behaviour")
    for case in CASES:
        even = Ratio(ratio, 0.9 * ratio, 1.1 * ratio)
        found.cases[case.name] = {"peer": even, "bare": Ratio(0.8, 0.7, 0.9)}
        found.seconds[case.name] = {"ours": 2e-3, "peer": 4e-3}
    found.costs = {
        "ops": {"conv, dynamic": {"ours": 30, "peer": 52}},
        "build": {"dense, constant": {"ours": 5.0, "peer": 11.0, "variables": 3.0}},
        "memory": {"dense": {"ours": 50.0, "peer": 60.0}},
        "import": {"import": {"ours": 1.0, "peer": 9.0}},
    }
    return found


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({group.name for group in GROUPS}) == len(GROUPS)


def test_every_floor_is_there() -> None:
    assert {g.name: g.floor for g in GROUPS if g.name in FLOORS} == FLOORS
    assert {group.name: group.limit for group in GROUPS if group.limit} == LIMITS
    assert min(group.floor for group in GROUPS) == grid.GENERAL_FLOOR == 0.95
    assert next(group.own for group in GROUPS if group.name == "dense_large") == 1.5
    assert min(group.own for group in GROUPS) == 1.0


def test_every_group_has_a_case_and_every_case_a_group() -> None:
    assert {case.group for case in CASES} == {group.name for group in GROUPS}
    assert all(group_of(case).name == case.group for case in CASES)


def test_the_grid_has_every_phase_rank_and_dtype() -> None:
    assert {case.phase for case in CASES} == set(Phase)
    assert {len(case.shape) for case in CASES} == {2, 3, 4, 5}
    assert {case.dtype for case in CASES} == {"float16", "bfloat16", "float32", "float64"}


@pytest.mark.parametrize(
    "shape, axis, expected",
    [((2, 3, 4), -1, (2,)), ((2, 3, 4), (-1, 1), (1, 2)), ((2, 3, 4, 5), 1, (1,))],
)
def test_channel_axes(shape: tuple[int, ...], axis: Any, expected: tuple[int, ...]) -> None:
    assert Case("", "", shape, axis).channel_axes == expected


def test_select_takes_words_of_names_and_groups() -> None:
    found = grid.select("rank 5, ghost_conv")
    assert {case.group for case in found} == {"rank5", "ghost_conv"}
    assert grid.select("") == CASES


@pytest.mark.parametrize(
    "ratio, expected",
    [(Ratio(2.0, 1.9, 2.1), OK), (Ratio(1.9, 1.8, 2.0), CLOSE), (Ratio(1.8, 1.7, 1.9), MISSED)],
)
def test_verdict(ratio: Ratio, expected: str) -> None:
    assert verdict(ratio, 2.0) == expected
    assert verdict(None, 2.0) == ""


def test_quartiles() -> None:
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == Ratio(3.0, 2.0, 4.0)


def test_compare_takes_turns_and_counts_from_the_first() -> None:
    called: list[str] = []
    timing = compare(
        {name: lambda name=name: called.append(name) for name in ("a", "b")},  # type: ignore[misc]
        budget=0.0,
        block=1e-5,
        least_rounds=4,
    )
    assert set(timing.seconds) == {"a", "b"} and set(timing.ratios) == {"b"}
    turns = [name for name, before in zip(called, ["", *called]) if name != before]
    assert len(turns) >= 4


def test_the_limit_is_that_of_ours_over_the_bare_op() -> None:
    row = next(row for row in rows(results()) if row.case.group == "renorm_conv")
    assert (row.limit, row.bare_verdict) == (1.25, OK)
    assert report.inverse(row.bare) == "1.25"


def test_tensorflow_1_is_measured_against_its_own_layer() -> None:
    newest = {row.case.group: row.floor for row in rows(results())}
    first = {row.case.group: row.floor for row in rows(results(tensorflow="1.15.5"))}
    assert (newest["dense_large"], newest["rank5"]) == (2.5, 1.9)
    assert (first["dense_large"], first["rank5"]) == (1.5, 1.0)


def test_costs_have_their_bounds() -> None:
    found = {row.what.split(":")[0]: row for row in cost_rows(results())}
    assert {row.bound for row in found.values()} == {0.75, 2.0, 0.3, 1.0, None}
    verdicts = {what: row.verdict for what, row in found.items()}
    assert verdicts == {
        "ops per layer": OK,
        "ms to build a layer": OK,
        "ms to build, beyond its variables": OK,
        "peak MB of a training step, 12 layers": OK,
        "ms after TensorFlow": "",
    }


@pytest.mark.parametrize(
    "part, kind, worse",
    [
        ("ops", "conv, dynamic", {"ours": 40, "peer": 52}),
        ("build", "dense, constant", {"ours": 6.0, "peer": 11.0, "variables": 3.0}),
        ("memory", "dense", {"ours": 60.2, "peer": 60.0}),
    ],
)
def test_a_worse_cost_is_missed(part: str, kind: str, worse: dict[str, float]) -> None:
    found = results()
    found.costs = {part: {kind: worse}}
    assert {row.verdict for row in cost_rows(found)} == {MISSED}


def test_the_tables_show_what_was_asked_for_and_missed() -> None:
    found = results()
    found.costs["build"]["dense, constant"].update({"ours": 6.0, "ops alone": 5.75})
    found.cases["conv 32x28x28x64"] = {"peer": Ratio(0.9, 0.9, 0.9)}
    cases = pages.case_table({pages.NEWEST: found})
    assert "| conv 32x28x28x64 | 0.90 | 0.90 to 0.90 | **1.00** | - | - |" in cases
    costs = pages.cost_table({pages.NEWEST: found})
    assert "| ms to build a layer: dense, constant | 6 | 11 | 1.83 | **2.00** | 5.75 |" in costs


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    save(results(), tmp_path / "x.json")
    assert load(tmp_path / "x.json") == results()
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "x.md"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write(target, "\ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.md", "old")]


def test_the_table_has_every_case_and_counts_misses() -> None:
    text = report.table(results(ratio=1.0))
    assert all(case.name in text for case in CASES)
    groups = [group_of(case) for case in CASES]
    # All are as quick as the peer, and take 1.25 times as long as the bare op.
    missed = [g for g in groups if g.floor > 1.1] + [g for g in groups if (g.limit or 2) < 1.2]
    assert f"{len(missed)} floors missed" in text


def test_the_chart_is_sound_and_complete() -> None:
    root = ElementTree.fromstring(chart.draw(results()))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}circle")) == len(CASES)
    words = {element.text for element in root.findall(f"{space}text")}
    assert {group.title.replace("`", "") for group in GROUPS} <= words
    assert "prefers-color-scheme: dark" in str(root.findtext(f"{space}style"))


def test_the_chart_grows_with_the_ratio_and_shows_the_floor() -> None:
    found = results()
    slow = CASES[0].name
    found.cases[slow] = {"peer": Ratio(0.9, 0.9, 0.9)}
    root = ElementTree.fromstring(chart.draw(found))
    space = "{http://www.w3.org/2000/svg}"
    dots = [float(dot.attrib["cx"]) for dot in root.findall(f"{space}circle")]
    assert dots[0] < dots[1] == dots[-1]
    floors = [
        float(line.attrib["x1"])
        for line in root.findall(f"{space}line")
        if line.attrib["class"] == "floor"
    ]
    assert len(floors) == len(GROUPS) and dots[0] < floors[0] < dots[1]


def test_the_pages_show_the_recorded_results() -> None:
    """Whoever records anew must write them anew: `python -m tests.benchmarks --write-readme`."""
    recorded = pages.recorded()
    for page, name, text in pages.blocks(recorded):
        written = page.read_text(encoding="utf-8")
        assert pages.replaced(written, name, text) == written, f"{name} in {page.name} is stale"
    drawn = pages.CHART.read_text(encoding="utf-8")
    assert drawn == chart.draw(recorded[pages.NEWEST])


def test_the_guide_lists_every_group_and_the_readme_eight() -> None:
    found = {pages.NEWEST: results()}
    table = pages.kinds_table(found, pages.EVERY_KIND)
    guide = pages.GUIDE.read_text(encoding="utf-8")
    assert all(f"| {group.title} |" in text for group in GROUPS for text in (table, guide))
    block = pages.readme_block(found)
    shown = {group.name for group in GROUPS if f"| {group.title} |" in block}
    assert shown == set(pages.MOST_USED) and len(shown) == 8


def test_recorded_results_are_of_this_grid() -> None:
    for name, found in pages.recorded().items():
        unknown = {*found.cases, *found.seconds} - {case.name for case in CASES}
        assert unknown == set(), name
    assert set(pages.recorded()[pages.NEWEST].cases) == {case.name for case in CASES}


@pytest.mark.parametrize(
    "page", ["nothing", "<!-- x -->", "<!-- /x --><!-- x -->", "<!-- x --><!-- x --><!-- /x -->"]
)
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="must have <!-- x -->"):
        pages.replaced(page, "x", "new")


def test_only_the_text_between_the_markers_changes() -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert pages.replaced(page, "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"


def test_the_rule_is_where_least_is_lost() -> None:
    points = [
        kernel_rule.Point(10, 1, 0.5),
        kernel_rule.Point(20, 1, 0.9),
        kernel_rule.Point(30, 1, 1.2),
        kernel_rule.Point(40, 1, 3.0),
    ]
    assert kernel_rule.best_rule(points) == kernel_rule.Rule(30, 1.0, 1.0)
    never = kernel_rule.rule(points, 50)
    assert (never.worst_loss, kernel_rule.rule(points, 0).worst_loss) == pytest.approx((3.0, 2.0))


def test_the_rule_is_never_where_nothing_is_gained() -> None:
    points = [kernel_rule.Point(10, 1, 0.5), kernel_rule.Point(20, 1, 0.5)]
    assert kernel_rule.best_rule(points).least == 40


def test_ghost_batches_of_the_rule_divide_their_batch() -> None:
    for kind, make in kernel_rule.KINDS.items():
        for n, c in kernel_rule.sizes():
            case = dataclasses.replace(make(n, c), name=kind)
            elements = 1
            for size in case.shape:
                elements *= size
            assert elements == n * c, case
            ghost = case.options.get("virtual_batch_size", 1)
            assert ghost > 0 and case.shape[0] % ghost == 0, case


def test_the_vector_is_the_least_that_always_gains() -> None:
    ratios = {3: 0.2, 6: 0.3, 4: 1.1, 12: 1.4, 16: 2.0}
    assert vector_rule.smallest_multiple(ratios) == 4
    assert vector_rule.smallest_multiple({**ratios, 8: 0.9, 24: 0.8}) == 16
    assert vector_rule.smallest_multiple({3: 0.2}) is None


def test_the_rows_of_the_rule_tell_its_constants_apart() -> None:
    costs = Costs()
    assert all(rows % count == 0 for rows, _ in row_rule.SHAPES for count in row_rule.EXAMPLES)
    assert {1, costs.few_row_examples, costs.row_examples} < {*row_rule.EXAMPLES}
    vector = costs.row_vector
    assert {width % vector for width in row_rule.WIDTHS} >= {0, vector // 2}
    assert costs.bias_gradient_channels in row_rule.SUM_CHANNELS
