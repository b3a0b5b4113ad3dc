"""`python -m tf1_bn scan`, as people and programs call it."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from tests.meta.project import run_python
from tests.scan.support import HERE
from tf1_bn._src.cli.main import main
from tf1_bn._src.proof.report import progress
from tf1_bn._src.scan.finding import CODES

WARNS = str(HERE / "fires" / "updates_nowhere.py")
SILENT = str(HERE / "silent" / "gan.py")
CALL = "import tensorflow as tf\ny = tf.layers.batch_normalization(x)\n"
LINE = re.compile(r"(?P<path>[^\n]+?):(?P<line>\d+):(?P<column>\d+): (?P<code>BN\d{3}) \S.*")


def run(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code = main(["scan", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_lines_summary_and_exit_code(capsys: Any) -> None:
    code, out, err = run(capsys, WARNS)
    first, second, *summary = out.splitlines()
    assert [LINE.fullmatch(each).group("line", "code") for each in (first, second)] == [
        ("6", "BN100"),
        ("8", "BN110"),
    ]
    assert summary == [
        "1 file: 1 warning, 1 note",
        "1 batch-norm call in 1 file; on new TensorFlow: python -m tf1_bn run",
    ]
    assert (code, err) == (1, "")


def test_notes_alone_are_clean(capsys: Any) -> None:
    code, out, _ = run(capsys, SILENT)
    assert code == 0
    assert {LINE.fullmatch(each).group("code") for each in out.splitlines()[:-2]} == {"BN100"}


def test_the_summary_names_the_options_of_all(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.py").write_text(CALL)
    (tmp_path / "b.py").write_text("import tensorflow.contrib.slim as slim\nslim.batch_norm(x)\n")
    (tmp_path / "c.py").write_text("import tensorflow as tf\ntf.layers.dense(x, 3)\n")
    out = run(capsys, str(tmp_path))[1]
    assert out.endswith("python -m tf1_bn run --tf1-alias --neighbours --contrib\n")


def test_nothing_to_do_is_said(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.py").write_text("import tf1_bn\ntf1_bn.batch_normalization(x)\n")
    assert run(capsys, str(tmp_path))[:2] == (
        0,
        "1 file: nothing found\n"
        "1 batch-norm call in 1 file; nothing else is needed on new TensorFlow\n",
    )
    (tmp_path / "a.py").write_text("")
    assert run(capsys, str(tmp_path))[:2] == (0, "1 file: nothing found\n")


@pytest.mark.parametrize(
    "arguments, left",
    [
        (("--ignore", "BN100"), {"BN110"}),
        (("--ignore=bn1"), set()),
        (("--select", "BN110,BN2"), {"BN110"}),
        (("--select", "BN1", "--ignore", "BN110"), {"BN100"}),
        (("--level", "warning"), {"BN110"}),
        (("--level", "error"), set()),
    ],
)
def test_choosing_what_is_shown(capsys: Any, arguments: Any, left: set[str]) -> None:
    arguments = [arguments] if isinstance(arguments, str) else arguments
    code, out, _ = run(capsys, WARNS, *arguments)
    assert {m.group("code") for m in map(LINE.fullmatch, out.splitlines()) if m} == left
    assert code == ("BN110" in left)


def test_what_could_not_be_read_is_always_shown(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "old.py").write_text("print 'a'\n")
    code, out, _ = run(capsys, str(tmp_path), "--select", "BN110", "--ignore", "BN0")
    assert code == 2
    assert "old.py:1:1: BN002 " in out and "not checked: 1" in out


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((), "a PATH is required"),
        ((".", "--write"), "--write needs --fix"),
        ((".", "--select", "E501"), "no list of codes"),
        ((".", "--ignore", ","), "no list of codes"),
        ((".", "--format", "xml"), "invalid choice"),
        ((".", "--unknown"), "unrecognized arguments"),
    ],
)
def test_wrong_command_lines(capsys: Any, arguments: Any, said: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_all_codes_are_listed(capsys: Any) -> None:
    lines = run(capsys, "--list-codes")[1].splitlines()
    assert [line.split()[:2] for line in lines] == [[c, CODES[c].level] for c in sorted(CODES)]


HOSTILE = ('a"b<c>&:d%20 é.py', "new\nline.py", "\x1b[31m.py", "caf\udce9.py")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of files with hostile names and one call each."""
    for name in HOSTILE:
        with open(os.path.join(str(tmp_path), name), "w", encoding="utf-8") as opened:
            opened.write(CALL)
    return tmp_path


def test_json_holds_findings_and_calls(hostile: Path, capsys: Any) -> None:
    code, out, _ = run(capsys, str(hostile), "--format", "json")
    document = json.loads(out)
    assert code == 0 and out.isascii()
    assert (document["files"], document["not_checked"]) == (4, 0)
    assert document["options"] == ["--tf1-alias"]
    names = {os.path.basename(each["path"]) for each in document["calls"]}
    assert names == {*HOSTILE[:3], "caf\\xe9.py"}
    assert document["calls"][0]["options"] == ["--tf1-alias"]
    first = document["findings"][0]
    assert (first["line"], first["column"], first["code"], first["level"]) == (
        2,
        5,
        "BN100",
        "note",
    )


def test_sarif_is_of_its_format(hostile: Path, capsys: Any) -> None:
    (hostile / "old.py").write_text("print 'a'\n")
    code, out, _ = run(capsys, str(hostile), "--format", "sarif")
    log = json.loads(out)
    (run_of,) = log["runs"]
    rules = run_of["tool"]["driver"]["rules"]
    assert (code, log["version"]) == (2, "2.1.0")
    assert [rule["id"] for rule in rules] == list(CODES)
    assert run_of["invocations"][0]["executionSuccessful"] is False
    assert len(run_of["invocations"][0]["toolExecutionNotifications"]) == 1
    paths = set()
    for each in run_of["results"]:
        rule = rules[each["ruleIndex"]]
        assert (rule["id"], rule["defaultConfiguration"]["level"]) == (
            each["ruleId"],
            each["level"],
        )
        place = each["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] >= 1 and place["region"]["startColumn"] >= 1
        address = urlparse(place["artifactLocation"]["uri"])
        assert re.fullmatch(r"[\w/.~%-]+", address.path, re.ASCII)
        paths.add(unquote(address.path, errors="surrogateescape"))
    assert {os.path.basename(path) for path in paths} == {*HOSTILE, "old.py"}


def test_a_relative_path_stays_relative(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    (tmp_path / "c:x").mkdir()
    (tmp_path / "c:x" / "a.py").write_text(CALL)
    monkeypatch.chdir(tmp_path)
    out = run(capsys, "c:x", "--format", "sarif")[1]
    place = json.loads(out)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "c%3Ax/a.py"
    assert run(capsys, ".")[1].startswith("c:x/a.py:2:5: BN100 ")


def test_text_shows_no_control_characters(hostile: Path, capsys: Any) -> None:
    out = run(capsys, str(hostile))[1]
    assert len(out.splitlines()) == len(HOSTILE) + 2
    assert "\x1b" not in out and "new\\x0aline.py" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 20])
def test_progress_fits_the_terminal_and_goes(
    tmp_path: Path, monkeypatch: Any, columns: int
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.py").write_text("")
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["scan", str(tmp_path)]) == 0
    shown = sys.stderr.getvalue().split("\r")
    assert "12 of 12" in shown[-3]
    assert all(len(each) < columns for each in shown)
    assert (shown[-2].strip(), shown[-1]) == ("", "")


def test_it_starts_where_there_is_no_tensorflow(tmp_path: Path) -> None:
    """In a process of its own, in which nothing outside of the standard library can be had."""
    (tmp_path / "a.py").write_text(CALL)
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('tensorflow', 'numpy', 'libcst', 'tf_slim', 'keras'):\n"
        "            raise ImportError('asked for ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from tf1_bn._src.cli.main import main\n"
        "sys.exit(main(['scan', sys.argv[1]]))\n"
    )
    done = run_python("-c", code, str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "BN100 tensorflow.layers.batch_normalization" in done.stdout
