"""Keras files: written for the real Keras and read from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests import forked
from tests.meta.project import ROOT
from tf1_bn._src.cli.main import main
from tf1_bn._src.runtime.tensorflow_v1 import tf

IMAGES = np.random.RandomState(2).normal(1.0, 2.0, size=[3, 5, 5, 2]).astype(np.float32)
KERAS_3 = pytest.mark.tf_min("2.16", reason="it calls Keras 3, which came with 2.16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A checkpoint `new`, converted, and what Keras made of that and of models of its own."""
    made: Path = tmp_path_factory.mktemp("keras")
    np.save(str(made / "expected.npy"), rebuilt(str(made / "new")))
    command = ["convert", str(made / "new"), "--to", "keras", "-o", str(made / "converted.h5")]
    assert main(command) == 0
    done = forked.python("-m", "tests.rescue.keras_side", str(made), cwd=ROOT)
    assert done.code == 0, done.err
    return made


def rebuilt(prefix: str) -> Any:
    """The inference of the same net in TensorFlow's graph mode, from a checkpoint or a .npz."""
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 5, 5, 2])
        with tf.variable_scope("net"):
            y = tf.nn.conv2d(x, variable("conv/kernel", [2, 2, 2, 4]), [1] * 4, "VALID")
            y += variable("conv/bias", [4])
            y = tf1_bn.batch_normalization(y, epsilon=0.01)
        kernel = variable("depthwise_conv2d/depthwise_kernel", [2, 2, 4, 2])
        y = tf.nn.depthwise_conv2d(y, kernel, [1] * 4, "VALID")
        y += variable("depthwise_conv2d/bias", [8])
        y = tf1_bn.batch_normalization(y, epsilon=0.01, scale=False, name="plain")
        y = tf.matmul(tf.reshape(y, [-1, 72]), variable("head/kernel", [72, 3]))
        y += variable("head/bias", [3])
        y = tf1_bn.batch_normalization(y, epsilon=0.01, center=False, name="last")
        if prefix.endswith("/new"):
            numbers = np.random.RandomState(8)
            for each in tf.global_variables():
                each.load(numbers.uniform(0.5, 1.5, each.shape.as_list()), session)
            tf.train.Saver().save(session, prefix, write_meta_graph=False)
        else:
            tf.train.Saver().restore(session, prefix)
        return session.run(y, {x: IMAGES})


def variable(name: str, shape: list[int]) -> Any:
    return tf.get_variable(name, shape)


def test_to_keras_and_back(folder: Path, tmp_path: Path, capsys: Any) -> None:
    expected = np.load(str(folder / "expected.npy"))
    np.testing.assert_allclose(np.load(str(folder / "loaded.npy")), expected, rtol=1e-4, atol=1e-5)
    # What Keras itself writes in that format, back to TensorFlow.
    old = str(tmp_path / "old")
    command = ["convert", str(folder / "keras.h5"), "--to", "tf.layers", "-o", old]
    assert main([*command, "--rename", "net_=net/"]) == 0
    np.testing.assert_array_equal(rebuilt(old), expected)
    assert "depthwise_conv2d/depthwise_kernel" in capsys.readouterr().out


@KERAS_3
@pytest.mark.parametrize("kind", ["named", "counted"])
def test_a_keras_archive(kind: str, folder: Path, tmp_path: Path, capsys: Any) -> None:
    names = json.loads((folder / f"{kind}.json").read_text())
    wanted = ["net/conv", "net/batch_normalization", "depthwise_conv2d", "plain", "head", "last"]
    renames = [
        word for pair in zip(names, wanted) for word in ("--rename", f"^{pair[0]}/={pair[1]}/")
    ]
    command = ["convert", str(folder / f"{kind}.keras"), "--to", "tf.layers", *renames]
    assert main([*command, "-o", str(tmp_path / "old")]) == 0
    out = capsys.readouterr().out
    assert "epsilon: epsilon=0.01 (the default in tf.layers is 0.001)" in out
    assert "momentum: momentum=0.99 (" in out
    np.testing.assert_allclose(
        rebuilt(str(tmp_path / "old")),
        np.load(str(folder / f"{kind}.npy")),
        rtol=1e-4,
        atol=1e-5,
    )


@KERAS_3
def test_weights_alone_do_not_tell_gamma_from_beta(
    folder: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main(["convert", str(folder / "net.weights.h5"), "--to", "torch", "--dry-run"]) == 2
    assert "give the .keras file" in capsys.readouterr().err
    command = ["convert", str(folder / "sub.weights.h5"), "--to", "torch"]
    assert main([*command, "-o", str(tmp_path / "s.npz")]) == 0
    with np.load(str(tmp_path / "s.npz")) as archive:
        modules = {name.rpartition(".")[0] for name in archive}
    assert modules == {"first", "blocks.batch_normalization", "blocks.batch_normalization_1"}
    command = ["convert", str(folder / "whole.weights.h5"), "--to", "torch"]
    assert main([*command, "-o", str(tmp_path / "w.npz")]) == 0
    with np.load(str(tmp_path / "w.npz")) as archive:
        assert archive["bn.running_var"].tolist() == [1.0] * 4


@KERAS_3
def test_keras_averages_the_population_variance(folder: Path) -> None:
    """What the report says of the convention, by experiment."""
    expected = 0.75 + 0.25 * IMAGES.var(axis=(0, 1, 2))
    np.testing.assert_allclose(np.load(str(folder / "variance.npy")), expected, rtol=1e-5)
