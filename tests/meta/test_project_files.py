"""The tracked files speak of the project alone, without a machine's paths; sources are licensed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.meta.project import ROOT, package_files, project_files, relative

# Written so that this file does not match itself.
MACHINE = re.compile(
    r"/(?:work|root|home|Users)/[A-Za-z]|/tmp/[a-z]|[.]pyenv/[v]ersions|pypi[.]org/[s]imple"
)
BINARY = (".npz", ".gz", ".zip", ".png", ".data-", ".index", ".meta")


def machine_paths(text: str) -> list[str]:
    return [match.group() for match in MACHINE.finditer(text)]


def text_files() -> list[Path]:
    return [path for path in project_files() if not path.suffix.startswith(BINARY)]


def test_no_path_of_a_machine() -> None:
    found = {
        relative(path): machine_paths(path.read_text(encoding="utf-8")) for path in text_files()
    }
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_the_check_sees_a_path() -> None:
    assert machine_paths("open('/" + "home/ann/x')") == ["/" + "home/a"]
    assert machine_paths("https://arxiv.org/abs/1502.03167 and a/work") == []


@pytest.mark.parametrize("path", package_files(), ids=relative)
def test_licence_line(path: Path) -> None:
    assert "SPDX-License-Identifier: Apache-2.0" in path.read_text(encoding="utf-8").splitlines()[0]


def test_nothing_is_large() -> None:
    """A clone stays small: data, goldens and pictures under 7 MB, no file over 2 MB."""
    sizes = {relative(path): path.stat().st_size for path in project_files()}
    assert [name for name, size in sizes.items() if size > 2e6] == []
    data = [size for name, size in sizes.items() if not name.endswith((".py", ".md"))]
    assert sum(data) < 7e6


def test_top_level_holds_only_what_belongs_there() -> None:
    allowed = {
        "setup.cfg",
        "pyproject.toml",
        "MANIFEST.in",
        "noxfile.py",
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "LICENSE",
        "tf1_bn",
        "tests",
        "migration_guide",
        "examples",
    }
    top = {relative(path).split("/")[0] for path in project_files()}
    assert {name for name in top - allowed if not name.startswith(".")} == set()
    assert (ROOT / "LICENSE").is_file()
