"""Scans texts and annotated files; no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tf1_bn._src.scan.scan import Result, scan

HERE = Path(__file__).resolve().parent
_MARK = re.compile(r"# finds:((?: BN\d{3})+)$")


def found(result: Result) -> list[tuple[int, str]]:
    """Return line and code of each finding."""
    return [(each.line, each.code) for each in result.findings]


def marked(path: Path) -> list[tuple[int, str]]:
    """Return line and code of each finding that a file's comments name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    matches = [(number, _MARK.search(line)) for number, line in enumerate(lines, 1)]
    return [(number, code) for number, m in matches if m for code in m.group(1).split()]


def scanned(folder: Path, **texts: str) -> Result:
    """Scan a folder with these files in it; `name` stands for `name.py`."""
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return scan([str(folder)])


def codes(result: Result, *without: str) -> list[str]:
    """Return the codes found, sorted, but for some."""
    return sorted(each.code for each in result.findings if each.code not in without)


def by_level(result: Result, *levels: str) -> list[Any]:
    return [each for each in result.findings if each.level in levels]
