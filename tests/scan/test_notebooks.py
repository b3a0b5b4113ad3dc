"""Notebooks are read as far as they are Python, and findings stand at the lines of their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scan.support import codes, found
from tf1_bn._src.scan.fix import fixes_of
from tf1_bn._src.scan.scan import scan

FIRST = """\
%matplotlib inline
import tensorflow.compat.v1 as tf
!pip install numpy
tf.layers?
files = !ls
text = ('é%d'
    % 3)
x = tf.layers.batch_normalization(1)  # noqa: BN100"""
SHELL = "%%bash\nls -l *"
LAST = """\
%%time
y = tf.layers.batch_normalization(x)
op = tf.train.AdamOptimizer().minimize(y)"""


def notebook(are_lists: bool) -> dict[str, Any]:
    def cell(kind: str, text: str) -> dict[str, Any]:
        source = text.splitlines(keepends=True) if are_lists else text
        return {"cell_type": kind, "outputs": [{"text": ["x\n"]}], "source": source}

    texts = cell("markdown", "# Title\ny = not code(")
    return {"cells": [texts, *(cell("code", each) for each in (FIRST, SHELL, LAST))]}


@pytest.mark.parametrize("is_ascii", [False, True])
def test_findings_stand_at_the_lines_of_the_file(tmp_path: Path, is_ascii: bool) -> None:
    path = tmp_path / "train.ipynb"
    text = json.dumps(notebook(True), indent=1, ensure_ascii=is_ascii)
    path.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    x, y = (
        next(number for number, each in enumerate(lines, 1) if each.lstrip().startswith(start))
        for start in ('"x = tf.', '"y = tf.')
    )
    assert found(scan([str(tmp_path)])) == [(x, "BN101"), (y, "BN100"), (y, "BN101")]


def test_a_notebook_in_one_line_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "train.ipynb").write_text(json.dumps(notebook(False)), encoding="utf-8")
    assert codes(scan([str(tmp_path)])) == ["BN100", "BN101", "BN101"]


@pytest.mark.parametrize(
    "raw", [b"", b"[1", b"[]", b'{"cells": 3}', b'{"cells": [{}]}', b"\xff", b"[" * 100000]
)
def test_what_is_no_notebook(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "bad.ipynb").write_bytes(raw)
    (finding,) = scan([str(tmp_path)]).findings
    assert (finding.code, finding.text) == (
        "BN001",
        "could not be read: it is no notebook of format 4",
    )


def test_a_notebook_is_no_module_and_is_not_rewritten(tmp_path: Path) -> None:
    pytest.importorskip("libcst")
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook(True)), encoding="utf-8")
    (tmp_path / "a.py").write_text("from tensorflow.layers import batch_normalization as bn\n")
    (tmp_path / "b.py").write_text("from .a import bn\ny = bn(1)\n")
    result = scan([str(tmp_path)])
    assert [Path(path).name for path, _ in result.norms if path.endswith("b.py")] == ["b.py"]
    troubles = {Path(fix.path).name: fix.trouble for fix in fixes_of(result)}
    assert troubles["a.ipynb"] == "it is a notebook"
