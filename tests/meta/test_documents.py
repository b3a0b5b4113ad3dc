"""README and guide: Python blocks run and print what the page shows, links lead somewhere."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Callable

import pytest

from tests.forked import Ended, python
from tests.meta.markdown import Example, anchors, broken_links, examples, links, prose
from tests.meta.project import ROOT, project_files, relative

PAGES = [path for path in project_files() if path.suffix == ".md"]
GUIDE = sorted((ROOT / "migration_guide").glob("*.md"))
RUN_PAGES = [ROOT / "README.md", *GUIDE]
EXAMPLES = [
    example
    for page in RUN_PAGES
    for example in examples(relative(page), page.read_text(encoding="utf-8"))
]
MARKS = {
    "": [],
    "tf1-only": [
        pytest.mark.tf_max("2.15", reason="it calls the real tf.layers, lost with Keras 3")
    ],
    "keras3-only": [pytest.mark.tf_min("2.16", reason="it calls Keras 3, which came with 2.16")],
}


@pytest.fixture(scope="module")
def run_block(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Example], Ended]:
    """A function that runs a block as a program of its own, and what that starts as well."""
    # As in an activated environment: TF 1.15 looks for its converter to TFLite there.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

    def run(example: Example) -> Ended:
        folder = tmp_path_factory.mktemp("block")
        return python("-c", example.source, cwd=folder, PATH=path)

    return run


@pytest.mark.parametrize(
    "example",
    [pytest.param(e, id=e.name, marks=MARKS[e.needs]) for e in EXAMPLES],
)
def test_block_runs(run_block: Callable[[Example], Ended], example: Example) -> None:
    answer = run_block(example)
    assert answer.code == 0, answer.err
    if example.output is not None:
        assert example.output == answer.out


def test_each_page_of_the_guide_runs_something() -> None:
    """A page without a checked block is a page of claims; the index only leads to the others."""
    shown = {example.name.split(":")[0] for example in EXAMPLES}
    pages = {relative(page) for page in RUN_PAGES} - {"migration_guide/README.md"}
    assert pages - shown == set()


def test_the_index_names_every_page() -> None:
    index = (ROOT / "migration_guide" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in GUIDE} - {"README.md"}
    assert pages - set(links(index)) == set()


@pytest.mark.parametrize("page", GUIDE, ids=relative)
def test_a_page_of_the_guide_begins_with_what_it_gives_and_for_whom(page: Path) -> None:
    title, _, opening, *_ = page.read_text(encoding="utf-8").split("\n")
    assert title.startswith("# ") and opening.endswith((".", ","))
    beginning = prose(page.read_text(encoding="utf-8")).split("\n## ")[0]
    assert re.search(r"(?m)^For |^Pages for ", beginning)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize(
    "code, expected", [("raise SystemExit(3)", 3), ("1 / 0", 1), ("print(6)", 0)]
)
def test_the_runner_sees_failure(
    run_block: Callable[[Example], Ended], code: str, expected: int
) -> None:
    answer = run_block(Example("block", 1, code, "", None))
    assert answer.code == expected
    assert answer.out == ("6\n" if expected == 0 else "")


def test_blocks_do_not_share_state(run_block: Callable[[Example], Ended]) -> None:
    seen = "import sys; print(hasattr(sys, 'left_behind')); sys.left_behind = 1"
    example = Example("block", 1, seen, "", None)
    assert [run_block(example).out for _ in range(2)] == ["False\n", "False\n"]


def test_the_link_check_sees(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `head`, two\n"
        "[a](gone.md) [b](#one-head-two) [c](#other) `[d](code.md)` [e](page.md#no)\n"
    )
    assert anchors(page.read_text()) == {"one-head-two"}
    assert broken_links(page) == ["gone.md", "#other", "page.md#no"]


def test_fences_are_read_as_shown() -> None:
    page = (
        "```python\nprint(1)\n```\n\n```text output\n1\n```\n\n"
        "```text\nno\n```\n```python tf1-only\nx\n```\n"
    )
    first, second = examples("page", page)
    assert first == Example("page:2", 2, "print(1)\n", "", "1\n")
    assert second == Example("page:13", 13, "x\n", "tf1-only", None)
