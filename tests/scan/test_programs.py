"""Annotated programs: what must be found stands in their comments; correct ones stay silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scan.support import HERE, by_level, found, marked
from tf1_bn._src.scan.finding import CODES
from tf1_bn._src.scan.scan import scan

FIRES = sorted((HERE / "fires").glob("*.py"))
SILENT = sorted((HERE / "silent").iterdir())
# What only tells what new TensorFlow needs; no mistake.
NEEDS = {"BN100", "BN201", "BN203"}


@pytest.mark.parametrize("path", FIRES, ids=lambda path: path.stem)
def test_exactly_the_marked_places_are_found(path: Path) -> None:
    assert found(scan([str(path)])) == marked(path)


@pytest.mark.parametrize("path", SILENT, ids=lambda path: path.stem)
def test_correct_programs_stay_silent(path: Path) -> None:
    result = scan([str(path)])
    assert by_level(result, "warning", "error") == []
    assert result.exit_code == 0


@pytest.mark.parametrize("path", SILENT, ids=lambda path: path.stem)
def test_notes_on_correct_programs_are_those_of_layers_fixed_on_purpose(path: Path) -> None:
    expected = {
        "maml": {"BN103"},
        "batch_statistics_throughout": {"BN103", "BN111"},
        "layer_of_a_keras_model": {"BN102"},
        "trains_something_else": {"BN102"},
    }
    assert {f.code for f in scan([str(path)]).findings} - NEEDS == expected.get(path.stem, set())


def test_the_correct_programs_are_seen() -> None:
    """Silence is worth nothing where no call was found."""
    counts = {path.stem: len(scan([str(path)]).norms) for path in SILENT}
    assert {name for name, count in counts.items() if not count} == {
        "guarded",
        "guarded_by_an_end",
        "guarded_elsewhere",
        "keras_model",
        "other_functions",
    }
    assert (counts["alias_elsewhere"], counts["frozen"], counts["attack"]) == (3, 3, 2)


def test_all_together_find_what_they_find_alone() -> None:
    alone = {(str(p), *each) for p in FIRES for each in found(scan([str(p)]))}
    together = scan([str(HERE / "fires")])
    assert {(f.path, f.line, f.code) for f in together.findings} == alone


def test_each_code_is_marked_somewhere() -> None:
    unread = {"BN001", "BN002", "BN003"}
    assert {code for path in FIRES for _, code in marked(path)} == set(CODES) - unread
