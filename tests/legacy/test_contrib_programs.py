"""Programs of 2017, unedited: what TF 1.15.5 gives, `run --compat` gives on new TensorFlow.

`python -m tests.legacy.test_contrib_programs` records them with TF 1.15, and refuses any other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import tf_version
from tests.forked import python, under_run
from tests.legacy.contrib_support import needs_slim, served
from tests.legacy.process import PROGRAMS

RECORD = Path(__file__).with_name("data") / "contrib_programs_tf115.json"
NAMES = (
    "contrib_dcgan",
    "contrib_pointnet",
    "contrib_tacotron",
    "slim_deeplab",
    "slim_detector",
)
WITHOUT_SLIM = ("contrib_tacotron",)
# The layers that `run` counts in each.
LAYERS = {
    "contrib_dcgan": 3,
    "contrib_pointnet": 6,
    "contrib_tacotron": 4,
    "slim_deeplab": 18,
    "slim_detector": 14,
}
# How near the last number, of the trained model, must be. A bias before a norm has a gradient of
# nothing but rounding errors, and Adam makes a whole step of it.
LAST = {"contrib_dcgan": 0.03}


def flat(losses: list) -> list[float]:
    return list(np.concatenate([np.atleast_1d(each) for each in losses]))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[] if name in WITHOUT_SLIM or tf_version()[0] == 1 else [needs_slim]
        )
        for name in NAMES
    ],
)
def test_a_program_does_as_on_tf1(name: str, tmp_path: Path) -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))[name]
    path = str(PROGRAMS / f"{name}.py")
    is_tf1 = tf_version()[0] == 1
    ended = python(path, cwd=tmp_path) if is_tf1 else under_run("--compat", path, cwd=tmp_path)
    assert ended.code == 0, ended.err[-4000:]
    found = json.loads(ended.out.strip().splitlines()[-1])
    assert found["variables"] == record["variables"]
    losses, expected = flat(found["losses"]), flat(record["losses"])
    np.testing.assert_allclose(losses[:-1], expected[:-1], rtol=1e-5)
    np.testing.assert_allclose(losses[-1:], expected[-1:], rtol=LAST.get(name, 1e-4))
    # Before 2.16 TensorFlow's own layer may serve the program, which is not watched.
    if tf_version() >= (2, 16):
        assert f"and the updates of all {LAYERS[name]} ran." in ended.err


@needs_slim
@served
@pytest.mark.parametrize("has_gamma", [True, False])
def test_a_recording_of_tf1_is_proven_or_refuted(has_gamma: bool, tmp_path: Path) -> None:
    """By `python -m tf1_bn record` on TF 1.15.5, from the very program."""
    text = (PROGRAMS / "slim_small.py").read_text(encoding="utf-8")
    program = text.replace("scale=True", f"scale={has_gamma}")
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    recording = str(RECORD.with_name("slim_small_tf115.npz"))
    ended = python("-m", "tf1_bn", "verify", "--compat", recording, "program.py", cwd=tmp_path)
    verdict = (
        "proven: 4 same, 0 different" if has_gamma else "[different] structure of last (dynamic)"
    )
    assert verdict in ended.out, ended.err[-4000:]
    assert ended.code == (0 if has_gamma else 1)


@needs_slim
@served
def test_record_finds_what_run_finds(tmp_path: Path) -> None:
    script = str(PROGRAMS / "slim_small.py")
    ended = python("-m", "tf1_bn", "record", "--compat", script, "-o", "r.npz", cwd=tmp_path)
    assert ended.code == 0, ended.err[-4000:]
    assert " recorded in r.npz" in ended.err


def main() -> None:
    found: dict[str, Any] = {}
    for name in NAMES:
        done = subprocess.run(
            [sys.executable, str(PROGRAMS / f"{name}.py")], stdout=subprocess.PIPE, check=True
        )
        found[name] = json.loads(done.stdout.decode().strip().splitlines()[-1])
    texts = {name: json.dumps(found[name], separators=(",", ":")) for name in NAMES}
    lines = [f"{json.dumps(name)}:{text}" for name, text in texts.items()]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    assert tf_version()[:2] == (1, 15), "the records are TF 1.15's own"
    main()
