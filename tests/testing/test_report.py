"""Differences, verdicts, exit codes, and the three forms of a report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.meta.project import run_python
from tf1_bn._src.proof.report.differences import difference
from tf1_bn._src.proof.report.report import Report, Section
from tf1_bn._src.proof.report.rows import (
    DIFFERENT,
    NOT_COMPARED,
    SAME,
    Row,
    exact_row,
    number_row,
    skipped_row,
    still_row,
    summary,
)
from tf1_bn._src.proof.report.tolerances import TABLE, Tolerance, tolerance

LOOSE = Tolerance(0.1, "for the test")


def report(*verdicts: str) -> Report:
    sections = [
        Section(f"layer {i}", [Row("output", "1", v)], [], []) for i, v in enumerate(verdicts)
    ]
    return Report("a title", {"TensorFlow": "1.15.5"}, sections)


def test_difference_gives_both_maxima_with_their_places() -> None:
    expected = np.array([[1.0, -8.0, 0.5], [2.0, 3.0, 4.0]])
    actual = np.array([[1.0, -9.0, 0.25], [2.0, 3.0, 4.0]])
    found = difference(expected, actual)
    assert (found.absolute, found.absolute_at) == (1.0, (0, 1))
    assert (found.relative, found.relative_at) == (0.5, (0, 2))
    assert (found.expected, found.actual, found.unequal, found.size) == (-8.0, -9.0, 2, 6)
    assert found.error == 1.0 / 8.0


def test_difference_by_a_scale_for_each_channel() -> None:
    """A large channel must not hide a wrong small one."""
    expected = np.array([[1000.0, 1.0], [2000.0, 2.0]])
    actual = expected + [[1.0, 0.0], [0.0, 0.5]]
    assert difference(expected, actual).error == 1.0 / 2000.0
    assert difference(expected, actual, np.array([[2000.0, 2.0]])).error == 0.25


@pytest.mark.parametrize(
    "expected, actual",
    [([1.0, np.nan], [1.0, 2.0]), ([1.0, 2.0], [1.0, np.nan]), ([1.0, np.inf], [1.0, -np.inf])],
)
def test_values_that_are_not_finite_must_be_the_same(expected: Any, actual: Any) -> None:
    found = difference(expected, actual)
    assert found.error == math.inf and found.absolute_at == (1,) and found.remark
    assert difference(expected, expected).error == 0.0


def test_shapes_must_be_the_same() -> None:
    found = difference(np.zeros((2, 1)), np.zeros((1, 2)))
    assert found.error == math.inf and found.remark == "shape [1, 2] instead of [2, 1]"
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))).error == 0.0


def test_rows() -> None:
    assert number_row("a", "1", [1.0], [1.05], LOOSE).verdict == SAME
    assert number_row("a", "1", [1.0], [1.2], LOOSE).verdict == DIFFERENT
    assert number_row("a", "1", [1.0], None, LOOSE).verdict == DIFFERENT
    assert number_row("a", "1", [1.0], [1.05], LOOSE).ratio == pytest.approx(0.5)
    assert still_row("a", "1", [1.0], [np.nextafter(1.0, 2.0)]).verdict == DIFFERENT
    assert still_row("a", "1", [np.nan], [np.nan]).verdict == SAME
    assert exact_row("a", ["x"], ["x"]).verdict == SAME
    assert exact_row("a", ["x"], ["y"]).verdict == DIFFERENT
    assert math.isnan(exact_row("a", 1, 1).ratio)
    assert skipped_row("a", "why").verdict == NOT_COMPARED


@pytest.mark.parametrize(
    "verdicts, code",
    [
        ((SAME, SAME), 0),
        ((SAME, DIFFERENT), 1),
        ((NOT_COMPARED, DIFFERENT), 1),
        ((SAME, NOT_COMPARED), 2),
        ((), 2),
    ],
)
def test_exit_code(verdicts: tuple, code: int) -> None:
    assert report(*verdicts).exit_code == code


def test_a_section_is_different_by_one_row() -> None:
    rows = [Row("a", "", SAME), Row("b", "", NOT_COMPARED), Row("c", "", DIFFERENT)]
    assert Section("s", rows, [], []).verdict == DIFFERENT
    assert Section("s", rows[:2], [], []).verdict == SAME
    assert Section("s", rows[1:2], [], []).verdict == NOT_COMPARED


def full_report(name: str = "bn") -> Report:
    rows = [
        number_row("output", str(step), [1.0, 2.0], [1.0, 2.0 + 0.3 * step], LOOSE)
        for step in range(3)
    ]
    rows += [skipped_row("gradients", "the recording has none", "1")]
    return Report("tf1_bn verify", {"with": name}, [Section(name, rows, ["swapped <b>"], [name])])


def test_text_shows_differing_rows_only() -> None:
    text = full_report().text()
    assert "[different] bn: 3 aspects compared, greatest error 3 of what is allowed" in text
    assert text.count("  X  output") == 2
    assert "0.6 at [1]" in text and "likely cause: swapped <b>" in text
    assert "not compared: gradients (the recording has none)" in text
    assert text.endswith("DIFFERENT: 0 same, 1 different, 0 not compared\n")
    assert full_report().text(all_rows=True).count("output") == 3


def test_json_holds_everything() -> None:
    plain = json.loads(full_report().as_json())
    assert (plain["verdict"], plain["exit_code"]) == ("DIFFERENT", 1)
    row = plain["sections"][0]["rows"][2]
    assert row["difference"]["absolute"] == pytest.approx(0.6)
    assert row["difference"]["absolute_at"] == [1]
    assert row["tolerance"] == {"error": 0.1, "derivation": "for the test"}
    infinite = Report("t", {}, [Section("s", [still_row("a", "", [1.0], [np.nan])], [], [])])
    assert json.loads(infinite.as_json())["sections"][0]["rows"][0]["difference"]["error"] == "inf"


def test_names_from_files_do_not_reach_the_terminal() -> None:
    text = full_report("\x1b[2J\u202e").text()
    assert "\x1b" not in text and "\u202e" not in text and "\\x1b[2J" in text


def test_reports_are_written_whole(tmp_path: Path) -> None:
    full_report().write_json(str(tmp_path / "r.json"))
    full_report().write_html(str(tmp_path / "r.html"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r.json"]
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == full_report().html()


def test_summary_is_short() -> None:
    assert summary(np.float32(0.1)) == "0.1"
    assert summary(np.array([[1.0, -2.0]])) == "[1, 2] -2..1"
    assert summary(np.zeros((0, 3))) == "[0, 3] empty"


def test_table_is_complete_and_derived() -> None:
    dtypes = ("float16", "bfloat16", "float32", "float64")
    wanted = {(q, d) for q in ("output", "gradient", "state") for d in dtypes}
    assert set(TABLE) == wanted
    assert all(0 < entry.error < 0.05 and entry.derivation for entry in TABLE.values())
    assert tolerance("state", "float16") == TABLE["state", "float16"]
    with pytest.raises(KeyError):
        tolerance("output", "int32")


def test_no_tensorflow_is_needed() -> None:
    names = "load_recording, Report, RecordingError"
    code = (
        f"import sys; from tf1_bn.testing import {names}; import tf1_bn._src.proof.causes, "
        "tf1_bn._src.proof.report.tolerances; print('tensorflow' in sys.modules)"
    )
    done = run_python("-c", code)
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr
