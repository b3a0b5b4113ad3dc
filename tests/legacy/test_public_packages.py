"""Public packages that call tf.layers train unedited; the nox session `slim` installs them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.legacy.process import PROGRAMS, Ended, under_run

pytestmark = pytest.mark.tf_min("2.16", reason="before that they find TensorFlow's own layer")


def trained(package: str, program: str, folder: Path) -> Ended:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: `nox -s packages` installs it")
    ended = under_run(str(PROGRAMS / program), cwd=folder)
    assert ended.code == 0, ended.err
    return ended


def test_deepxde(tmp_path: Path) -> None:
    ended = trained("deepxde", "deepxde_fnn.py", tmp_path)
    assert "moved [True, True]" in ended.out
    # Of a sine of amplitude 1, predicted with the moving statistics.
    assert float(re.findall(r"root mean square error ([0-9.]+)", ended.out)[0]) < 0.1
    told = "tf1_bn: 2 batch-norm layers were built, and the updates of both ran."
    assert told in ended.err.splitlines()


def test_recommenders_xdeepfm(tmp_path: Path) -> None:
    ended = trained("recommenders", "xdeepfm.py", tmp_path)
    before, after = map(float, re.findall(r"^auc ([0-9.]+), then ([0-9.]+)", ended.out, re.M)[0])
    assert before < 0.7 and after > 0.9
    assert "moved [True, True, True, True]" in ended.out
    assert "and the updates of all 4 ran.\n" in ended.err
