"""The reports of `python -m tf1_bn doctor`, and targets that cannot be read, or are many."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.doctor.test_files import saved, told
from tests.doctor.zoo import frozen_in_training
from tf1_bn._src.cli.main import main
from tf1_bn._src.doctor import examined, places
from tf1_bn._src.doctor.facts.finding import CODES, Finding, Findings
from tf1_bn._src.doctor.places import places_of
from tf1_bn._src.doctor.report.chart import statistics_chart
from tf1_bn._src.doctor.report.examination import Examination, Layer, Part
from tf1_bn._src.doctor.report.page import page
from tf1_bn._src.doctor.report.texts import as_json, as_sarif, as_text
from tf1_bn._src.runtime.tensorflow_v1 import tf

NAME = "resnet_v2_152/block3/unit_12/bottleneck_v2/conv3/BatchNorm_"
HOSTILE = "<script>alert(1)</script>\x1b[31m\n\udcff"


def layer(name: str, mean: Any, variance: Any) -> Layer:
    held = {"moving_mean": mean, "moving_variance": variance}
    arrays = {role: np.array(values) for role, values in held.items() if values is not None}
    return Layer(name, "switched", "tf.layers", arrays)


def one(*layers: Layer, findings: Any = (), path: str = "step") -> Examination:
    return Examination(path, (Part(path, layers, Findings(findings)),))


def frozen(path: Path) -> Path:
    with tf.Graph().as_default():
        graph = frozen_in_training(tf1_bn.batch_normalization)["graph"]
        path.write_bytes(graph.SerializeToString())
    return path


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_a_table_of_many_layers_fits(width: int | None) -> None:
    layers = [layer(f"{NAME}{n:03}", [-1.5, 2.0], [0.5, 1.0]) for n in range(120)]
    wrong = Finding("BN402", tuple(each.name for each in layers), "w " * 90, "f " * 60, "m " * 60)
    text = as_text(one(*layers, findings=Findings([wrong])), width)
    assert width is None or max(map(len, text.splitlines())) <= width
    flat = "".join(text.split())
    assert all(each.name in flat for each in layers) and flat.count("-1.5to2") == 120


def test_what_was_not_read_is_cut() -> None:
    part = Part("step", (), Findings(), tuple(f"op{n}: why" for n in range(50)))
    lines = as_text(Examination("step", (part,)), None).splitlines()
    assert [line for line in lines if line.startswith("not read: ")][-2:] == [
        "not read: op19: why",
        "not read: 30 more",
    ]


def test_json_has_numbers_and_no_nan() -> None:
    document = json.loads(
        as_json(one(layer("a", [np.nan, 1.0], [0.5]), layer("b", None, [np.inf]))),
        parse_constant=lambda text: pytest.fail(text),
    )
    a, b = document["layers"]
    assert (a["moving_mean"], a["moving_variance"]) == (
        {"min": "nan", "max": "nan"},
        {"min": 0.5, "max": 0.5},
    )
    assert (b["moving_mean"], b["moving_variance"]) == (None, {"min": "inf", "max": "inf"})


def test_sarif_names_file_and_layers() -> None:
    found = Findings([Finding("BN402", ("a", HOSTILE), "wrong", "follows", "mend")])
    lost = Part("x.pb", trouble="x.pb: no GraphDef")
    parts = (Part("dir/step 3", (), found), lost)
    (run,) = json.loads(as_sarif(Examination("dir", parts)))["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "BN402"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(CODES)
    (place,) = result["locations"]
    assert place["physicalLocation"] == {"artifactLocation": {"uri": "dir/step%203"}}
    assert place["logicalLocations"][0] == {"fullyQualifiedName": "a"}
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "x.pb: no GraphDef"


# -- the page --------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Collects tags with their attributes, and checks that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    found = Findings([Finding("BN402", (HOSTILE,), HOSTILE, HOSTILE, HOSTILE)])
    text = page(one(layer(HOSTILE, [1.0], [np.nan]), findings=found, path=HOSTILE))
    assert "script" not in {tag for tag, _ in Tags(text).found}
    assert not {"src", "href", "onload"} & {name for _, given in Tags(text).found for name in given}
    assert "\x1b" not in text and "prefers-color-scheme: dark" in text
    assert all(each in text for each in ("BN402", "not finite", "1 warning", "@media (max-width"))


def test_the_plot_shows_where_numbers_lie() -> None:
    chart = Tags(statistics_chart([layer("a", [-3.0, 0.0, 3.0], [0.1, 1.0, 10.0])]))
    mean, variance = (
        [given for tag, given in panel if tag == "line" and given["class"] in ("line", "allowed")]
        for panel in _panels(chart.found)
    )
    for begin, spread in (mean, variance):
        low, middle, high = (float(each) for each in (spread["x1"], begin["x1"], spread["x2"]))
        assert low < middle < high and abs((low + high) / 2 - middle) < 0.2


def _panels(found: list[tuple[str, dict[str, str]]]) -> list[list[tuple[str, dict[str, str]]]]:
    starts = [place for place, (tag, _) in enumerate(found) if tag == "svg"]
    return [found[start:end] for start, end in zip(starts, [*starts[1:], len(found)])]


@pytest.mark.parametrize(
    "mean, variance, words",
    [
        ([0.0, 0.0], [1.0, 1.0], []),
        ([1e-30, -1e30], [1e-30, 1e30], []),
        ([5e-324, 1e308], [5e-324, 1e308], []),
        ([np.nan], [np.inf], ["not finite", "not finite"]),
        ([1.0], [0.0, 2.0], ["0"]),
        ([1.0], [-1.0, 2.0], ["below 0"]),
        (None, [1.0], ["missing"]),
        ([], [1.0], ["missing"]),
        (np.zeros([1, 1, 3]), np.float16(2.0), []),
    ],
)
def test_the_plot_takes_every_number(mean: Any, variance: Any, words: list[str]) -> None:
    text = statistics_chart([layer("a", mean, variance)])
    assert re.findall(r'class="limit">([^<]*)<', text) == words
    numbers = [float(each) for each in re.findall(r' (?:x1|x2|cx|x|y)="([^"]*)"', text)]
    assert all(0 <= each <= 460 for each in numbers)
    # Two panels, each with a tick at least.
    assert text.count('class="grid"') >= 2


def test_a_plot_of_none_is_none() -> None:
    assert statistics_chart([layer("a", None, None)]) == ""


# -- the command -----------------------------------------------------------------------------------


def test_reports_are_written_and_replaced(tmp_path: Path, capsys: Any) -> None:
    target = frozen(tmp_path / "frozen.pb")
    files = [str(tmp_path / "r.html"), str(tmp_path / "r.sarif")]
    for _ in range(2):
        assert main(["doctor", str(target), "--html", files[0], "--sarif", files[1]]) == 1
    assert "BN305" in Path(files[0]).read_text() and json.loads(Path(files[1]).read_text())
    assert sorted(os.listdir(str(tmp_path))) == ["frozen.pb", "r.html", "r.sarif"]


@pytest.mark.parametrize("place", ["own", "precious.txt", "missing/r.html", "folder", "-", "twice"])
def test_nothing_else_is_overwritten(place: str, tmp_path: Path, capsys: Any) -> None:
    target = frozen(tmp_path / "frozen.pb")
    before = target.read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "precious.txt").write_text("mine")
    path = {"own": str(target), "-": "-"}.get(place, str(tmp_path / place))
    more = ["--sarif", path] if place == "twice" else []
    assert main(["doctor", str(target), "--html", path, *more]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert said.err.startswith(f"tf1_bn: cannot write {path}: ")
    assert target.read_bytes() == before and (tmp_path / "precious.txt").read_text() == "mine"
    assert sorted(os.listdir(str(tmp_path))) == ["folder", "frozen.pb", "precious.txt"]


def test_a_disk_that_fills_leaves_the_old_report(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, report = frozen(tmp_path / "frozen.pb"), tmp_path / "r.html"
    assert main(["doctor", str(target), "--html", str(report)]) == 1
    old = report.read_bytes()

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    # There are warnings as well.
    assert main(["doctor", str(target), "--html", str(report)]) == 2
    assert f"cannot write {report}: No space left on device" in capsys.readouterr().err
    assert report.read_bytes() == old and len(os.listdir(str(tmp_path))) == 2


# -- folders ---------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkpoint, a frozen graph, and files of other kinds."""
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    saved(top / "a")
    frozen(top / "frozen.pb")
    (top / "empty.pb").write_bytes(b"")
    (top / "foreign.pb").write_bytes(b"\x00\x01 nothing of ours" * 99)
    (top / "cut.meta").write_bytes(next((top / "a").glob("*.meta")).read_bytes()[:-7])
    (top / "bad.index").write_bytes(b"no index")
    (top / ".hidden").mkdir()
    (top / ".hidden" / "x.pb").write_bytes(b"")
    (top / "notes.txt").write_text("")
    os.symlink(str(top), str(top / "again"))
    os.symlink("loop.pb", str(top / "loop.pb"))
    os.mkfifo(str(top / "pipe.pb"))
    return top


def test_a_folder_of_files(tree: Path, capsys: Any) -> None:
    before = sorted(map(str, tree.rglob("*")))
    code, out, err = told(tree, capsys)
    assert code == 2
    assert {Path(line.split(": ")[1].split(" ")[-1]).name for line in err.splitlines()} == {
        *("bad", "cut.meta", "empty.pb", "foreign.pb", "loop.pb", "pipe.pb")
    }
    assert f"{tree / 'a'}\nlayer  phase" in out and "BN305 warning: bn1, bn2: " in out
    assert "8 graphs and checkpoints looked at, 4 layers, 1 warning, 6 could not be read" in out
    assert sorted(map(str, tree.rglob("*"))) == before


def test_how_many_were_looked_at_is_said(
    tree: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_MOST_PLACES", 3)
    assert len(places_of(str(tree)).paths) == 3
    assert ", only the first 3 of 8 were examined\n" in told(tree, capsys)[1]
    monkeypatch.setattr(places, "_MOST_ENTRIES", 2)
    assert places_of(str(tree)).limit == "the search ended after 2 names"


def test_a_mistake_of_ours_costs_one_file(
    tree: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = examined.case_of

    def fails(graph: Any, question: Any) -> Any:
        if not question.train and len(graph.node) > 1 and question.outputs == ():
            raise IndexError("tuple index\nout of range")
        return original(graph, question)

    monkeypatch.setattr(examined, "case_of", fails)
    code, _, err = told(tree / "frozen.pb", capsys)
    assert code == 2 and err.endswith("by a mistake of tf1_bn: IndexError: tuple index\n")


# -- hostile graphs --------------------------------------------------------------------------------


def graph_of(path: Path, **functions: list[str]) -> Path:
    """A graph that calls `f0`, with functions that call others."""
    graph = tf.GraphDef()
    for name, called in functions.items():
        function = graph.library.function.add()
        function.signature.name = name
        for number, each in enumerate(called):
            function.node_def.add(name=f"n{number}", op=each)
    graph.node.add(name="call", op="f0")
    graph.node.add(name="odd", op="NoSuchOp", input=["gone:7", "^nobody", "odd"])
    graph.node.add(name="few", op="Mul")
    constant = graph.node.add(name="huge", op="Const")
    constant.attr["value"].tensor.dtype = 1
    constant.attr["value"].tensor.float_val.append(1.0)
    constant.attr["value"].tensor.tensor_shape.dim.add(size=10**14)
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.mark.parametrize(
    "functions, words",
    [
        ({"f0": ["f0"]}, "calls itself"),
        ({"f0": ["f1"], "f1": ["f0"]}, "calls itself"),
        ({f"f{n}": [f"f{n + 1}"] for n in range(40)}, "nested too deep"),
    ],
)
def test_functions_without_an_end(
    functions: dict[str, list[str]], words: str, tmp_path: Path, capsys: Any
) -> None:
    code, out, err = told(graph_of(tmp_path / "g.pb", **functions), capsys)
    assert (code, err) == (0, "")
    assert words in out and "few: Mul has too few inputs" in out


def test_codes_that_are_ignored(tmp_path: Path, capsys: Any) -> None:
    """They are in no report, and do not count."""
    target, report = frozen(tmp_path / "graph.pb"), tmp_path / "page.html"
    others = ["--json", "--html", str(report)]
    assert main(["doctor", str(target), *others, "--ignore", "BN313,BN305"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
    assert "BN305" not in report.read_text(encoding="utf-8")
    assert main(["doctor", str(target), "--ignore=BN313", "--ignore", "BN306"]) == 1


@pytest.mark.parametrize(
    "given, says",
    [
        ("BN35", "got 'BN35', did you mean 'BN305'?"),
        ("305", "got '305', did you mean 'BN305'?"),
        ("BN304,bn305", "got 'bn305', did you mean 'BN305'?"),
        ("BN304,", "BN503, BN504 (got '')"),
        ("model.pb", "BN503, BN504 (got 'model.pb')"),
    ],
)
@pytest.mark.parametrize("command", ["doctor", "run", "record", "verify"])
def test_codes_that_do_not_exist(given: str, says: str, command: str, capsys: Any) -> None:
    try:
        code: Any = main([command, f"--ignore={given}", "no file"])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    said = capsys.readouterr().err
    assert "argument --ignore: CODE must hold codes, " in said and says in said
