"""An ordinary program of 2018, unedited: run, proven and its checkpoint restored, without TF-Slim.

`python -m tests.legacy.test_ordinary_program` writes data/ordinary with TF 1.15, and refuses any
other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import tf_version
from tests.forked import Ended, python
from tests.legacy.process import PROGRAMS

SCRIPT = PROGRAMS / "ordinary.py"
# What TF 1.15.5 left: its recording, its checkpoint, and the last line that it printed.
DATA = Path(__file__).with_name("data") / "ordinary"
RECORDING = DATA / "recording.npz"
SAID = (DATA / "said.txt").read_text(encoding="utf-8") if DATA.exists() else ""
# Where TensorFlow still has its own layer, ours is to be looked at.
COMPAT = ("--compat", "--force") if tf_version() < (2, 16) else ("--compat",)


def command(name: str, *arguments: str, cwd: Path) -> Ended:
    return python("-m", "tf1_bn", name, *COMPAT, *arguments, cwd=cwd)


def test_it_learns(tmp_path: Path) -> None:
    ended = command("run", "--no-report", str(SCRIPT), cwd=tmp_path)
    assert ended.code == 0, ended.err[-4000:]
    assert numbers(ended.out)["accuracy"] > 0.65
    assert (tmp_path / "model.index").exists()


def test_a_checkpoint_of_tf1_gives_its_accuracy(tmp_path: Path) -> None:
    model = str(DATA / "model")
    ended = command("run", str(SCRIPT), "--steps", "0", "--model", model, cwd=tmp_path)
    assert ended.code == 0, ended.err[-4000:]
    assert ended.out.startswith("restored\n")
    found, expected = numbers(ended.out), numbers(SAID)
    assert found["accuracy"] == expected["accuracy"]
    assert found["loss"] == pytest.approx(expected["loss"], abs=2e-5)


@pytest.mark.parametrize("is_same", [True, False], ids=["as it is", "training left out"])
def test_its_recording_is_proven_or_refuted(is_same: bool, tmp_path: Path) -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    other = text.replace("momentum=0.9, training=is_training", "momentum=0.9", 1)
    assert other != text
    (tmp_path / "program.py").write_text(text if is_same else other, encoding="utf-8")
    ended = command("verify", str(RECORDING), "program.py", cwd=tmp_path)
    verdict = (
        "proven: 4 same, 0 different, 0 not compared"
        if is_same
        else "DIFFERENT: 3 same, 1 different"
    )
    assert verdict in ended.out, ended.out + ended.err[-4000:]
    assert ended.code == (0 if is_same else 1)


def numbers(said: str) -> dict[str, float]:
    """The accuracy and the loss of the last line that the program prints."""
    words = said.strip().splitlines()[-1].split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2])}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        few = ("--steps", "1", "--sample-kb", "2")
        asked = ("record", "-o", "recording.npz", *few, str(SCRIPT), "--", "--steps", "180")
        root = str(Path(__file__).resolve().parents[2])
        said = subprocess.run(
            [sys.executable, "-m", "tf1_bn", *asked],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            check=True,
        )
        DATA.mkdir(exist_ok=True)
        for name in ("recording.npz", "model.index", "model.data-00000-of-00001"):
            shutil.copy(str(Path(folder, name)), str(DATA))
        (DATA / "said.txt").write_bytes(said.stdout)


if __name__ == "__main__":
    assert tf_version()[:2] == (1, 15), "the records are TF 1.15's own"
    main()
