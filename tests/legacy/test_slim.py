"""TF-Slim's own unit tests pass with `tf1_bn.install()`; the nox session `slim` runs them."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests import forked
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


@pytest.mark.skipif(
    tuple(int(part) for part in np.__version__.split(".")[:2]) >= (2, 4),
    reason="slim's tests make an int of an array of one value, which NumPy 2.4 refuses",
)
def test_slims_own_tests_of_learning(tmp_path: Path) -> None:
    for name, (run, failed) in ran("learning_test", "training.training_test", cwd=tmp_path).items():
        assert (run >= SUITES[name], failed) == (True, 0), name


TRAINED = """
    import tensorflow.compat.v1 as tf
    import tf1_bn

    tf1_bn.install()
    import tf_slim as slim

    tf.disable_v2_behavior()
    x = tf.constant([[1.0, 2.0], [3.0, 5.0], [7.0, 4.0]])
    w = slim.variable("w", initializer=tf.constant([2.0, 3.0]))
    seen = slim.global_variable(tf.constant(6.0), name="seen")
    count = slim.local_variable(tf.constant(4.0), name="count")
    assert [v.op.name for v in tf.global_variables()] == ["w", "seen"], tf.global_variables()
    assert [v.op.name for v in tf.local_variables()] == ["count"], tf.local_variables()
    y = slim.batch_norm(x * w, is_training=True, decay=0.5)
    loss = tf.reduce_sum(w * [30.0, 40.0]) + 0.0 * tf.reduce_sum(y)
    optimizer = tf.train.GradientDescentOptimizer(1.0)
    clipped = slim.learning.create_train_op(loss, optimizer, clip_gradient_norm=5.0)
    scaled = slim.learning.create_train_op(loss, optimizer, gradient_multipliers={"w": 0.1})
    for step in (clipped, scaled):
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            session.run(tf.local_variables_initializer())
            session.run(step)
            print([round(float(value), 4) for value in session.run(w)], *session.run([seen, count]))
"""


def test_clipped_and_scaled_gradients_and_both_kinds_of_variables(tmp_path: Path) -> None:
    """The gradient is [30, 40]: clipped to norm 5 it is [3, 4], as it is when scaled by 0.1."""
    ended = forked.python("-c", textwrap.dedent(TRAINED), cwd=tmp_path)
    assert ended.code == 0, ended.err[-4000:]
    assert ended.out.split("\n")[:2] == ["[-1.0, -1.0] 6.0 4.0"] * 2


def test_nothing_slim_asks_for_is_missing_and_uninstall_takes_it_away(tmp_path: Path) -> None:
    """Every attribute of TensorFlow's modules in slim's files, its own tests' included."""
    ended = forked.python("-m", "tests.legacy.slim_names", cwd=tmp_path)
    assert ended.code == 0, ended.err[-4000:]
    before, installed, after = ended.out.strip().splitlines()[-3:]
    assert "control_flow_ops.while_loop" in before and "ops.IndexedSlices" in before
    assert installed == "missing:"
    assert after == before


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
    assert forked.python("-c", call, cwd=tmp_path).code == 1
    installed = "import tf1_bn\ntf1_bn.install()\n" + call
    ended = forked.python("-c", installed, cwd=tmp_path)
    assert ended.code == 0, ended.err
