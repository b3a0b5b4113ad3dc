"""What cannot be read is told in one line each, the rest is still checked, nothing is executed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scan.support import codes, scanned
from tf1_bn._src.scan.scan import scan
from tf1_bn._src.scan.source.text import MOST_BYTES, Unreadable, parse
from tf1_bn._src.scan.source.walk import facts_of

GOOD = "import tensorflow.compat.v1 as tf\ny = tf.layers.batch_normalization(1, training=True)\n"
# Before 3.11 these end Python itself if nothing is done about it.
DEEP = {
    "sum": "x = " + "+".join(["a"] * 300000),
    "attributes": "x = a" + ".b" * 300000,
    "calls": "x = a" + "()" * 300000,
    "signs": "x = " + "-" * 100000 + "1",
    "brackets": "x = " + "[" * 5000,
}


@pytest.mark.parametrize(
    "text, line, what",
    [
        ("import os\nprint 'a'\n", 2, "a print statement"),
        ("print >>sys.stderr, 1\nprint 'a'\n", 2, "a print statement"),
        ("try:\n    pass\nexcept ValueError, e:\n    pass\n", 3, "`except E, e`"),
        ("try:\n    pass\nexcept (A, B), e:\n    pass\n", 3, "`except E, e`"),
        ("raise ValueError, 'x'\n", 1, "`raise E, text`"),
        ("exec 'x = 1'\n", 1, "an exec statement"),
        ("mode = 0777\n", 1, "an octal number such as 0777"),
        ("x = 10L\n", 1, "a long number such as 1L"),
        ("x = a <> b\n", 1, "`<>`"),
        ("x = `a`\n", 1, "backquotes"),
        ("x = ur'a'\n", 1, "a text with ur in front"),
        ("def f(a, (b, c)):\n    pass\n", 1, "a tuple among a function's arguments"),
    ],
)
def test_python_2_is_told_by_what_it_is(text: str, line: int, what: str) -> None:
    found = parse(text.encode())
    assert isinstance(found, Unreadable)
    assert (found.code, found.line) == ("BN002", line)
    assert what in found.text


def test_python_2_tells_where_it_speaks_of_batch_norm(tmp_path: Path) -> None:
    text = "import tensorflow as tf\ny = tf.layers.batch_normalization(x)\nprint y\n"
    (finding,) = scanned(tmp_path, old=text).findings
    assert (finding.line, finding.code) == (3, "BN002")
    assert "it speaks of batch norm in line 2" in finding.text


@pytest.mark.parametrize(
    "raw, code",
    [
        (b"def f(:\n", "BN003"),
        (b"x = \n", "BN003"),
        (b"print('a'\n", "BN003"),
        (b"a\0b", "BN001"),
        (b"\xff\xfe = 1\n", "BN001"),
        (b"# -*- coding: klingon -*-\n", "BN001"),
        *((text.encode(), "BN003") for text in DEEP.values()),
    ],
    ids=["syntax", "end", "bracket", "zero", "bytes", "encoding", *DEEP],
)
def test_what_cannot_be_checked_is_one_finding(tmp_path: Path, raw: bytes, code: str) -> None:
    (tmp_path / "bad.py").write_bytes(raw)
    result = scanned(tmp_path, good=GOOD)
    assert codes(result) == sorted([code, "BN100"])
    assert result.exit_code == 2
    assert "\n" not in result.findings[0].text


def test_a_tree_of_branches_does_not_end_python(tmp_path: Path) -> None:
    """Python 3.7 and 3.8 give a tree, which can be read; newer ones refuse."""
    text = f"{GOOD}if a: pass\n" + "elif a: pass\n" * 50000
    assert codes(scanned(tmp_path, deep=text)) in (["BN003"], ["BN100"])


@pytest.mark.parametrize("step", [".b", ".b()", "()"])
def test_a_long_name_given_on_is_one_that_nobody_knows(tmp_path: Path, step: str) -> None:
    text = f"{GOOD}import a\nf(a{step * 150})\n"
    assert codes(scanned(tmp_path, long=text)) == ["BN100"]


def test_a_mistake_of_ours_costs_one_file(tmp_path: Path, monkeypatch: Any) -> None:
    def read(path: str, *given: Any) -> Any:
        if path.endswith("bad.py"):
            raise IndexError("tuple index\nout of range")
        return facts_of(path, *given)

    monkeypatch.setattr("tf1_bn._src.scan.scan.facts_of", read)
    result = scanned(tmp_path, bad=GOOD, good=GOOD)
    assert codes(result) == ["BN003", "BN100"] and result.exit_code == 2
    assert "by a mistake of tf1_bn: IndexError: tuple index" in result.findings[0].text


def test_a_long_sum_and_a_long_chain_of_elif_are_no_depth(tmp_path: Path) -> None:
    chain = "if a: pass\n" + "".join(f"elif a == {n}: pass\n" for n in range(300))
    text = f"{GOOD}x = " + " + ".join(["'a'"] * 300) + f"\n{chain}"
    assert codes(scanned(tmp_path, long=text)) == ["BN100"]


def test_places_that_are_no_files(tmp_path: Path) -> None:
    os.symlink("loop.py", str(tmp_path / "loop.py"))
    os.symlink(str(tmp_path), str(tmp_path / "again"))
    os.symlink("nowhere.py", str(tmp_path / "gone.py"))
    os.mkfifo(str(tmp_path / "pipe.py"))
    (tmp_path / "large.py").write_bytes(b"")
    os.truncate(str(tmp_path / "large.py"), MOST_BYTES + 1)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "folder.py" / "inner.py").write_text(GOOD)
    result = scan([str(tmp_path), str(tmp_path / "missing"), ""])
    assert codes(result) == ["BN001"] * 6 + ["BN100"]
    assert result.exit_code == 2


def test_other_peoples_folders_are_left_out(tmp_path: Path) -> None:
    for name in (".git", "__pycache__", "node_modules", "venv"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(GOOD)
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    assert scanned(tmp_path, mine=GOOD).files == 1
    assert scan([str(tmp_path / "venv"), str(tmp_path / ".git" / "a.py")]).files == 2


def test_a_file_is_read_once(tmp_path: Path) -> None:
    scanned(tmp_path, mine=GOOD)
    twice = scan([str(tmp_path), str(tmp_path / "mine.py"), os.path.join(str(tmp_path), ".")])
    assert (twice.files, codes(twice)) == (1, ["BN100"])


def test_nothing_is_executed_or_written(tmp_path: Path) -> None:
    text = f"{GOOD}raise SystemExit('executed')\nopen('made', 'w')\n"
    before = set(sys.modules)
    scanned(tmp_path, program=text)
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]
    assert {name for name in set(sys.modules) - before if "tensorflow" in name.split(".")} == set()


@pytest.mark.parametrize("raw", [b"", b"\n", b"\xef\xbb\xbf" + GOOD.encode(), GOOD.encode()])
def test_what_can_be_read(raw: bytes) -> None:
    assert not isinstance(parse(raw), Unreadable)


def test_encodings_and_columns_in_characters(tmp_path: Path) -> None:
    head = "# -*- coding: latin-1 -*-\nimport tensorflow.compat.v1 as tf\n"
    (tmp_path / "a.py").write_bytes(
        (head + "é = tf.layers.batch_normalization(1)\n").encode("latin-1")
    )
    (tmp_path / "b.py").write_text(
        "import tensorflow.compat.v1 as tf\n'日本'; tf.layers.batch_normalization(1)\n",
        encoding="utf-8",
    )
    assert [(f.line, f.column) for f in scan([str(tmp_path)]).findings] == [(3, 5), (2, 7)]
