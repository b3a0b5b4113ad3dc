"""The pages of migration_guide/pitfalls: each code has one, whose examples are scanned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta.markdown import blocks, links
from tests.meta.project import ROOT
from tests.scan.support import scanned
from tf1_bn._src.doctor.facts.finding import CODES as OF_GRAPHS
from tf1_bn._src.scan.finding import CODES

PAGES = ROOT / "migration_guide" / "pitfalls"


def examples(code: str) -> dict[str, str]:
    """Return a page's two programs by the word behind `python`."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    found = [block for block in blocks(text) if block.info[:1] == ("python",)]
    assert [block.info[1:] for block in found] == [("failing",), ("mended",)]
    return {block.info[1]: block.text for block in found}


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_failing_example_has_the_code_of_its_page(tmp_path: Path, code: str) -> None:
    result = scanned(tmp_path, example=examples(code)["failing"])
    assert code in {finding.code for finding in result.findings}
    worse = {f.code for f in result.findings if f.level != "note"} - {code}
    assert worse == set()


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_mended_example_has_neither_the_code_nor_a_warning(tmp_path: Path, code: str) -> None:
    result = scanned(tmp_path, example=examples(code)["mended"])
    found = {finding.code for finding in result.findings}
    assert found & {code, *(c for c in found if CODES[c].level != "note")} == set()


def test_each_page_is_of_a_code_and_in_the_index() -> None:
    pages = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    # Those of graphs are run by tests/doctor.
    assert pages == {f"{code}.md" for code in {**CODES, **OF_GRAPHS}}
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert pages == {target for target in links(index) if target.startswith("BN")}
    for code, meaning in {**CODES, **OF_GRAPHS}.items():
        assert f"| [{code}]({code}.md) | {meaning.level} | {meaning.says} |" in index
