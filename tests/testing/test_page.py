"""The page of a report: what a reader sees first, the charts, the colours, hostile names."""

from __future__ import annotations

import datetime
import hashlib
import html.parser
import itertools
import math
import re
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

from tests.meta.colours import contrast, luminance
from tf1_bn._src.proof.report.differences import difference
from tf1_bn._src.proof.report.provenance import provenance
from tf1_bn._src.proof.report.report import Report, Section
from tf1_bn._src.proof.report.rows import DIFFERENT, SAME, Row, skipped_row
from tf1_bn._src.proof.report.tolerances import Tolerance

LOOSE = Tolerance(0.125, "for the test")
VOID = ("meta",)


class Node:
    """An element of the page, with the elements and texts in it."""

    def __init__(self, tag: str, attributes: Any) -> None:
        self.tag, self.attributes = tag, dict(attributes)
        self.content: list[Any] = []

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.content)

    def all(self, tag: str = "", kind: str = "") -> list[Node]:
        found = []
        for child in self.content:
            if isinstance(child, Node):
                kinds = child.attributes.get("class", "").split()
                if (not tag or child.tag == tag) and (not kind or kind in kinds):
                    found.append(child)
                found += child.all(tag, kind)
        return found


class Parser(html.parser.HTMLParser):
    """Builds the tree; tags must nest."""

    def __init__(self) -> None:
        super().__init__()
        self.path = [Node("", ())]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        node = Node(tag, attrs)
        self.path[-1].content.append(node)
        if tag not in VOID:
            self.path.append(node)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        # HTML knows this form inside of SVG only.
        assert "svg" in [node.tag for node in self.path]
        self.path[-1].content.append(Node(tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.path[-1].content.append(data)


def parsed(text: str) -> Node:
    parser = Parser()
    parser.feed(text)
    parser.close()
    assert len(parser.path) == 1
    return parser.path[0]


def row(aspect: str, step: str, ratio: float) -> Row:
    """A row whose error is `ratio` times what is allowed."""
    found = difference([8.0], [8.0])._replace(error=ratio * LOOSE.error)
    return Row(aspect, step, DIFFERENT if ratio > 1 else SAME, "a", "b", found, LOOSE)


def section(name: str, ratio: float = 0.5, aspects: int = 2) -> Section:
    rows = [
        row(f"aspect {a}", f"training {step}", ratio / (a + 1))
        for a in range(aspects)
        for step in (1, 2, 3)
    ]
    return Section(name, [*rows, row("aspect 0", "inference 4", 0.25)], [], [])


def page_of(*sections: Section, **facts: str) -> Node:
    return parsed(Report("tf1_bn verify", facts, list(sections)).html())


def layers_on(page: Node) -> list[str]:
    return [heading.text for part in page.all("section") for heading in part.all("h2")]


# -- order ---------------------------------------------------------------------------------------


def test_what_differs_comes_first_and_what_is_the_same_is_folded() -> None:
    skipped = Section("never", [skipped_row("everything", "inside a loop")], [], [])
    page = page_of(section("good"), skipped, section("bad", 4.0), section("fine"))
    assert page.all("h1")[0].text == "tf1_bn verify: DIFFERENT"
    assert "4 parts compared: 1 different, 1 not compared, 2 same." in page.text
    assert layers_on(page) == [
        "bad: different",
        "never: not compared",
        "good: same",
        "fine: same",
    ]
    closed = [d for d in page.all("details") if "open" not in d.attributes]
    folded = "".join(d.text for d in closed)
    for name, is_folded in (("good", True), ("fine", True), ("bad", False), ("never", False)):
        assert (f"{name}: " in folded) == is_folded
    (first,) = [t for t in page.all("table") if t not in page.all("section")][:1]
    cells = [[cell.text for cell in line.all("td")] for line in first.all("tr")[1:]]
    assert cells == [
        ["different", "bad", "4", "aspect 0, aspect 1", ""],
        ["not compared", "never", "", "everything: inside a loop", ""],
    ]


def test_differing_rows_come_first_and_the_same_ones_are_folded() -> None:
    mixed = Section("bn", [row("a", "1", 0.5), row("b", "1", 2.0), row("c", "1", 0.1)], [], [])
    (part,) = [s for s in page_of(mixed).all("section") if s.all("h2")]
    shown, folded = part.all("table", "rows")
    assert [r.all("td")[1].text for r in shown.all("tr")[1:]] == ["b"]
    assert [r.all("td")[1].text for r in folded.all("tr")[1:]] == ["a", "c"]
    assert folded in part.all("details")[0].all("table")


def test_a_layer_has_one_section() -> None:
    built = Section("structure of bn (dynamic)", [Row("phase", "", SAME)], ["a cause"], [])
    page = page_of(built, section("bn (dynamic)", 4.0), section("other"))
    assert layers_on(page) == ["bn (dynamic): different", "other: same"]
    (part, *_) = page.all("section")
    assert "a cause" in part.text and "8 rows compared: 6 different, 2 same" in part.text


def test_links_lead_to_the_layers() -> None:
    page = page_of(section("a"), section("b", 3.0), section("c"))
    identified = {
        s.attributes["id"]: s.all("h2")[0].text for s in page.all("section", "") if s.all("h2")
    }
    linked = {a.text: identified[a.attributes["href"][1:]] for a in page.all("a")}
    assert linked == {"a": "a: same", "b": "b: different", "c": "c: same"}


def test_an_empty_report_has_a_page() -> None:
    page = page_of()
    assert page.all("h1")[0].text == "tf1_bn verify: could not compare"
    assert page.all("svg") == [] and page.all("section") == []


def test_facts_say_where_the_report_comes_from(tmp_path: Path) -> None:
    (tmp_path / "ref it.npz").write_bytes(b"something")
    facts = provenance(str(tmp_path / "ref it.npz"), ["tf1_bn", "verify", "ref it.npz"])
    digest = hashlib.sha256(b"something").hexdigest()
    assert facts["recording"] == f"ref it.npz, SHA-256 {digest}"
    assert facts["command"] == "tf1_bn verify 'ref it.npz'"
    when = datetime.datetime.strptime(facts["date"][:19], "%Y-%m-%d %H:%M:%S")
    assert abs(when - datetime.datetime.now()) < datetime.timedelta(hours=1)
    assert digest in page_of(**facts).text
    gone = provenance(str(tmp_path / "gone.npz"), [])
    assert gone["recording"] == "gone.npz, SHA-256 unknown (No such file or directory)"


# -- charts --------------------------------------------------------------------------------------


def test_phases_have_panels_of_their_own() -> None:
    training, inference = page_of(section("bn")).all("svg")
    assert [p.all("text", "title")[0].text for p in (training, inference)] == [
        "training",
        "inference",
    ]
    assert [len(points(line)) for line in lines(training)] == [3, 3]
    assert [len(points(line)) for line in lines(inference)] == [1]
    for panel in (training, inference):
        texts = [t.text for t in panel.all("text")]
        assert "error / allowed" in texts and "step" in texts and "allowed" in texts


def test_what_has_one_step_has_no_chart() -> None:
    assert page_of(Section("bn", [row("a", "training 1", 0.5)], [], [])).all("svg") == []
    assert page_of(Section("bn", [row("a", "other", 0.5)] * 2, [], [])).all("svg") == []


def test_heights_are_logarithms_and_zero_and_infinity_stand_apart() -> None:
    ratios = (0.0, 0.001, 0.01, 1.0, 100.0, math.inf)
    rows = [row("a", f"training {n}", ratio) for n, ratio in enumerate(ratios, 7)]
    (panel,) = page_of(Section("bn", rows, [], [])).all("svg")
    heights = [-y for _, y in points(lines(panel)[0])]
    steps = np.diff(heights)
    assert steps[2] == pytest.approx(2 * steps[1], abs=0.2)
    assert steps[3] == pytest.approx(2 * steps[1], abs=0.2)
    # Each on the height that carries its number.
    marked = {t.text: -float(t.attributes["y"]) + 4 for t in panel.all("text")}
    assert heights[0] == pytest.approx(marked["0"], abs=0.2)
    assert heights[3] == pytest.approx(marked["1"], abs=0.2)
    assert heights[5] == pytest.approx(marked["∞"], abs=0.2)
    assert heights[0] < min(heights[1:]) and heights[5] > max(heights[:5])
    assert len(panel.all("path", "break")) == 2


def test_the_axis_has_no_break_without_zero_and_infinity() -> None:
    panel = page_of(section("bn")).all("svg")[0]
    assert panel.all("path", "break") == []
    assert {"0", "∞"}.isdisjoint(t.text for t in panel.all("text"))


def test_twelve_lines_differ_by_more_than_their_colours() -> None:
    page = page_of(section("bn", aspects=12))
    groups = page.all("svg")[0].all("g")
    looks = {
        (
            g.all("polyline", "line")[0].attributes["stroke-dasharray"],
            g.all("path")[0].attributes["d"],
        )
        for g in groups
    }
    assert len(groups) == len(looks) == 12
    labels = [g.all("text")[0] for g in groups]
    assert [label.text for label in labels] == [f"aspect {n}" for n in range(12)]
    heights = sorted(float(label.attributes["y"]) for label in labels)
    assert min(np.diff(heights)) >= 12, "labels must not cover each other"
    assert heights[0] > 0 and heights[-1] < float(
        page.all("svg")[0].attributes["viewbox"].split()[3]
    )


def test_long_names_that_begin_alike_are_told_apart() -> None:
    names = [f"a_statistic_with_a_long_name_{n}" for n in range(3)]
    rows = [row(name, f"training {step}", 0.5) for name in names for step in (1, 2)]
    groups = page_of(Section("bn", rows, [], [])).all("svg")[0].all("g")
    assert [g.all("text")[0].text for g in groups] == [f"a_statist…ong_name_{n}" for n in range(3)]
    assert [g.all("title")[0].text for g in groups] == names


@pytest.mark.parametrize("ratio", [0.0, 1e-12, 1.0, 1e9, math.inf])
def test_many_equal_lines_and_steps_stay_inside(ratio: float) -> None:
    rows = [row(f"a{n}", f"training {s}", ratio) for n in range(20) for s in range(1, 400, 20)]
    (panel,) = page_of(Section("bn", rows, [], [])).all("svg")
    width, height = map(float, panel.attributes["viewbox"].split()[2:])
    for line in panel.all("polyline"):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points(line))
    for text in panel.all("text"):
        assert 0 < float(text.attributes["y"]) < height
    assert len(panel.all("g")[0].all("path")) < 15, "markers must leave the line visible"


def lines(panel: Node) -> list[Node]:
    """The lines of the quantities, without the samples beside their labels."""
    return [group.all("polyline", "line")[0] for group in panel.all("g")]


def points(line: Node) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in line.attributes["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


# -- colours -------------------------------------------------------------------------------------


def schemes(css: str) -> Iterator[dict[str, str]]:
    light, dark = re.findall(r":root \{([^}]*)\}", css)
    for declared in (light, dark):
        yield dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", declared))
    assert css.index("prefers-color-scheme: dark") < css.index(dark)


def test_every_text_can_be_read_on_every_ground_in_light_and_dark() -> None:
    css = page_of(section("bn")).all("style")[0].text
    grounds = set(re.findall(r"background: var\(--(\w+)\)", css))
    texts = set(re.findall(r"[{; ]color: var\(--(\w+)\)", css))
    texts |= set(re.findall(r"text[.\w]* \{[^}]*fill: var\(--(\w+)\)", css))
    assert {"page", "head", "cause"} <= grounds and {"text", "faint", "line6"} <= texts
    found = list(schemes(css))
    assert set(found[0]) == set(found[1]) and luminance(found[1]["page"]) < 0.1
    for colours in found:
        for text, ground in itertools.product(texts, grounds):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


# -- a page that needs nothing else ----------------------------------------------------------------

HOSTILE = "\x1b[2J<script>alert(1)</script>&\u202e\"' onload=x </title></style><svg/onload=x>"


def test_hostile_names_are_text() -> None:
    rows = [row(HOSTILE, f"{HOSTILE} {n}", n) for n in range(3)]
    rows[0] = rows[0]._replace(expected=HOSTILE, actual=HOSTILE, remark=HOSTILE)
    hostile = Section(HOSTILE, rows, [HOSTILE], [HOSTILE])
    text = Report(HOSTILE, {HOSTILE: HOSTILE}, [hostile]).html()
    page = parsed(text)
    tags = {node.tag for node in page.all()}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    assert len(page.all("svg")) == 1 and len(page.all("style")) == 1
    for node in page.all():
        assert not [name for name in node.attributes if name.startswith("on") or name == "src"]
        assert node.attributes.get("href", "#")[0] == "#"
    assert "\x1b" not in text and "\u202e" not in text
    assert page.all("title")[0].text.startswith("\\x1b[2J<script>alert(1)</script>&")


def test_the_page_may_load_nothing_and_fits_a_narrow_screen() -> None:
    page = page_of(section("bn"))
    metas = {
        tuple(m.attributes.items())[0][1]: m.attributes.get("content") for m in page.all("meta")
    }
    assert metas["Content-Security-Policy"].startswith("default-src 'none'")
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    css = page.all("style")[0].text
    assert "@import" not in css and "url(" not in css and "@media (max-width" in css
