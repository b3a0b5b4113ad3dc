"""The kill list follows the source; the killing itself is `nox -s mutations`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutations.apply import ROOT, DoesNotApply, mutated
from tests.mutations.table import MUTATIONS, Mutation


def _source(mutation: Mutation) -> str:
    return (ROOT / "tf1_bn" / mutation.file).read_text(encoding="utf-8")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.mistake)
def test_the_mutation_applies(mutation: Mutation) -> None:
    """Its line stands in the source once, and what comes out is another valid program."""
    source = _source(mutation)
    changed = mutated(mutation, source)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
    assert sum(a != b for a, b in zip(source.split("\n"), changed.split("\n"))) == 1


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.mistake)
def test_its_tests_exist(mutation: Mutation) -> None:
    for test in mutation.tests:
        path, _, function = test.partition("::")
        source = Path(ROOT, path).read_text(encoding="utf-8")
        assert f"def {function}" in source


def test_the_list_is_long_and_without_repetition() -> None:
    assert len(MUTATIONS) >= 25
    assert len({m.mistake for m in MUTATIONS}) == len(MUTATIONS)
    assert len({(m.file, m.old, m.new) for m in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("source", ["", "x = 1\nx = 1\n", "x = 10\n"])
def test_a_line_that_is_not_there_once_is_an_error(source: str) -> None:
    with pytest.raises(DoesNotApply):
        mutated(Mutation("", "core.py", "x = 1", "x = 2", ()), source)


def test_a_line_keeps_its_indentation() -> None:
    mutation = Mutation("", "core.py", "x = 1", "x = 2", ())
    source = "def f():\n    x = {}\n    x = 10\n"
    assert mutated(mutation, source.format(1)) == source.format(2)
