"""TF-Slim's own unit tests pass with `tf1_bn.install()`; the nox session `slim` runs them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.legacy.process import python
from tests.legacy.slim_suite import SUITES

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("tf_slim") is None,
        reason="tf_slim is not installed: `nox -s tests-slim` installs it",
    ),
    pytest.mark.tf_min("2.16", reason="before that TF-Slim finds TensorFlow's own layer"),
]


def ran(*suites: str, cwd: Path) -> dict[str, tuple[int, int]]:
    """Suite to (tests run, failed), from a process of its own."""
    ended = python("-m", "tests.legacy.slim_suite", *suites, cwd=cwd)
    found = re.findall(r"^(\S+): (\d+) run, (\d+) failed", ended.out, re.MULTILINE)
    assert ended.code == 0, ended.err[-4000:]
    return {name: (int(run), int(failed)) for name, run, failed in found}


def test_slims_own_tests_of_layers(tmp_path: Path) -> None:
    suites = [name for name in SUITES if name.startswith("layers.")]
    for name, (run, failed) in ran(*suites, cwd=tmp_path).items():
        assert (run >= SUITES[name], failed) == (True, 0), name


def test_slims_own_tests_of_nets(tmp_path: Path) -> None:
    suites = [name for name in SUITES if name.startswith("nets.")]
    for name, (run, failed) in ran(*suites, cwd=tmp_path).items():
        assert (run >= SUITES[name], failed) == (True, 0), name


def test_slim_needs_install(tmp_path: Path) -> None:
    """Without it slim's batch normalization fails: the tests above would notice."""
    call = (
        "import tensorflow.compat.v1 as tf\n"
        "import tf_slim\n"
        "tf.disable_v2_behavior()\n"
        "tf_slim.batch_norm(tf.zeros([4, 3]))\n"
    )
    assert python("-c", call, cwd=tmp_path).code == 1
    installed = "import tf1_bn\ntf1_bn.install()\n" + call
    ended = python("-c", installed, cwd=tmp_path)
    assert ended.code == 0, ended.err
