"""The pages of the codes of graphs: the first example prints its code, the second one does not."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

import tf1_bn
from tests.meta.markdown import blocks
from tests.meta.project import ROOT
from tf1_bn._src.cli.main import main
from tf1_bn._src.doctor.facts.finding import CODES
from tf1_bn._src.runtime.tensorflow_v1 import tf, tf_version
from tf1_bn._src.scan.finding import CODES as OF_SOURCES

PAGES = ROOT / "migration_guide" / "pitfalls"
OWN = sorted(set(CODES) - set(OF_SOURCES))
# Pages for the eyes of both, whose examples make a `train_op`.
SHARED = ("BN101", "BN110")
# What another TensorFlow than this one refuses to load.
OF_OLD_FILES = "BN407"
RUN = subprocess.run


@pytest.fixture
def installed() -> Iterator[None]:
    tf1_bn.install(force=True)
    yield
    tf1_bn.uninstall()


def run_here(command: list[str], **options: Any) -> Any:
    """As `subprocess.run`; `doctor` runs here, without the seconds that TensorFlow starts in."""
    if command[:4] != [sys.executable, "-m", "tf1_bn", "doctor"]:
        return RUN(command, **options)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(command[3:])
    return subprocess.CompletedProcess(command, code, printed.getvalue())


def ran(code: str, kind: str) -> dict[str, object]:
    """The names that an example leaves behind."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    (source,) = (b.text for b in blocks(text) if b.info == ("python", kind))
    names: dict[str, object] = {}
    with tf.Graph().as_default():
        exec(compile(source, code, "exec"), names)
    return names


@pytest.mark.filterwarnings("ignore:The update ops of 'bn' stand inside")
@pytest.mark.filterwarnings("ignore:BN50", "ignore:bn is trained, and no session run so far")
@pytest.mark.parametrize("code", OWN)
def test_the_examples_of_a_page(
    code: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if code == OF_OLD_FILES and tf_version() < (2, 2):
        pytest.skip("this TensorFlow loads what it wrote itself")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(subprocess, "run", run_here)
    ran(code, "failing")
    printed = capsys.readouterr().out
    assert f"{code} {CODES[code].level}: " in printed
    ran(code, "mended")
    printed = capsys.readouterr().out
    assert code not in printed and " warning: " not in printed


@pytest.mark.parametrize("code", SHARED)
def test_source_and_graph_say_the_same(code: str, installed: None) -> None:
    found = tf1_bn.check(ran(code, "failing")["train_op"])
    assert [each.code for each in found.of("warning")] == [code]
    assert tf1_bn.check(ran(code, "mended")["train_op"]).of("warning") == ()
