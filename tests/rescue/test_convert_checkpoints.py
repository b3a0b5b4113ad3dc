"""Checkpoints that TensorFlow wrote, converted and restored into the layers of another library."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import tf1_bn
from tf1_bn._src.cli.main import main
from tf1_bn._src.rescue.convert import conversion
from tf1_bn._src.runtime.tensorflow_v1 import tf
from tf1_bn.contrib import batch_norm

ROWS = np.random.RandomState(1).normal(1.0, 3.0, size=[6, 3, 3, 2]).astype(np.float32)


def ours(x: Any) -> Any:
    return tf1_bn.batch_normalization(x, epsilon=0.01, momentum=0.75)


def contribs(x: Any) -> Any:
    return batch_norm(x, epsilon=0.01, scale=True, is_training=False)


def real_layers(x: Any) -> Any:
    return tf.layers.batch_normalization(x, epsilon=0.01)


def real_contribs(x: Any) -> Any:
    from tensorflow.contrib.layers import batch_norm as real

    return real(x, epsilon=0.01, scale=True, is_training=False)


def net(norm: Callable[[Any], Any]) -> tuple[Any, Any]:
    x = tf.placeholder(tf.float32, [None, 3, 3, 2])
    kernel = tf.get_variable("conv/kernel", [2, 2, 2, 4])
    with tf.variable_scope("block"):
        y = norm(tf.nn.conv2d(x, kernel, [1, 1, 1, 1], "VALID"))
    return x, norm(tf.nn.relu(y))


def saved(norm: Callable[[Any], Any], prefix: Path, version: int = 2) -> Any:
    """Saves random values of the net, without its graph; returns its inference."""
    numbers = np.random.RandomState(3)
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = net(norm)
        for variable in tf.global_variables():
            variable.load(numbers.uniform(0.5, 2.0, variable.shape.as_list()), session)
        saver = tf.train.Saver(write_version=version)
        saver.save(session, str(prefix), write_meta_graph=False, write_state=False)
        return session.run(y, {x: ROWS})


def restored(norm: Callable[[Any], Any], prefix: Path) -> Any:
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = net(norm)
        tf.train.Saver().restore(session, str(prefix))
        return session.run(y, {x: ROWS})


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(contribs, id="ours"),
        pytest.param(
            real_contribs, marks=pytest.mark.tf_max("1.15", reason="tf.contrib ended"), id="real"
        ),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_to_contrib_and_back(
    target: Callable[[Any], Any], version: int, tmp_path: Path, capsys: Any
) -> None:
    old, new, back = tmp_path / "old", tmp_path / "new", tmp_path / "back"
    expected = saved(ours, old, version)
    assert main(["convert", str(old), "--to", "contrib", "-o", str(new)]) == 0
    assert "block/BatchNorm/gamma" in capsys.readouterr().out
    np.testing.assert_array_equal(restored(target, new), expected)
    assert main(["convert", str(new), "--to", "tf.layers", "-o", str(back)]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"{back}: written and read back, greatest difference 0\n")
    np.testing.assert_array_equal(restored(ours, back), expected)
    # TF's own list of what is in a folder was never touched, and nothing is left behind.
    names = {path.name.split(".")[0] for path in tmp_path.iterdir()}
    assert names == {"old", "new", "back"}


@pytest.mark.tf_max("2.15", reason="it calls the real tf.layers, lost with Keras 3")
def test_contrib_to_the_real_tf_layers(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    expected = saved(contribs, old)
    assert main(["convert", str(old), "--to", "tf.layers", "-o", str(new)]) == 0
    np.testing.assert_array_equal(restored(real_layers, new), expected)


def test_the_graph_tells_epsilon_and_momentum(tmp_path: Path, capsys: Any) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 4])
        tf1_bn.batch_normalization(x, epsilon=0.02, momentum=0.75, training=True, name="a")
        tf1_bn.batch_normalization(x, epsilon=0.3, momentum=0.75, training=True, name="b")
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "m"), write_state=False)
    assert main(["convert", str(tmp_path / "m"), "--to", "torch", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "epsilon: eps=0.02 in a; eps=0.3 in b (the default in PyTorch is 1e-05)" in out
    assert "momentum: momentum=0.25 (momentum in PyTorch is 1 - the fraction kept" in out
    assert out.endswith("nothing was written (--dry-run)\n")
    assert main(["convert", str(tmp_path / "m"), "--to", "keras", "--dry-run"]) == 0
    assert "momentum: momentum=0.75 (momentum in Keras is the fraction" in capsys.readouterr().out


def test_a_checkpoint_by_object(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        layer = tf1_bn.BatchNormalization()
        layer(tf.placeholder(tf.float32, [None, 2]))
        session.run(tf.global_variables_initializer())
        path = tf.train.Checkpoint(norm=layer).save(str(tmp_path / "o"), session=session)
    assert main(["convert", path, "--to", "torch", "-o", str(tmp_path / "o.npz")]) == 0
    with np.load(str(tmp_path / "o.npz")) as archive:
        assert set(archive) == {
            *("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"),
            "norm.num_batches_tracked",
        }


@pytest.mark.parametrize("end", [".index", ".data-00000-of-00001", ""])
def test_a_damaged_checkpoint(end: str, tmp_path: Path, capsys: Any) -> None:
    prefix = tmp_path / "old"
    saved(ours, prefix, version=2 if end else 1)
    part = Path(f"{prefix}{end}")
    part.write_bytes(part.read_bytes()[: -40 if end else 200])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["convert", str(prefix), "--to", "torch", "-o", str(tmp_path / "x.pt")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("tf1_bn: ") and err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_values_are_replaced_only_when_asked(tmp_path: Path, capsys: Any) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    expected = saved(ours, old)
    saved(contribs, new)
    command = ["convert", str(old), "--to", "tf.layers", "-o", str(new)]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(command) == 2 and "exists: with --overwrite" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert main([*command, "--overwrite"]) == 0
    np.testing.assert_array_equal(restored(ours, new), expected)
    # Whatever it is called, the source is never the output.
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    saved(ours, tmp_path / "first", version=1)
    command[1:2] = [str(tmp_path / "first")]
    assert main([*command[:-1], str(link / "first"), "--overwrite"]) == 2
    assert "is the source" in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    command[1:2] = [str(old)]
    for out in (old, link / "old"):
        assert main([*command[:-1], str(out), "--overwrite"]) == 2
        assert "is the source" in capsys.readouterr().err
    np.testing.assert_array_equal(restored(ours, old), expected)


def test_a_checkpoint_on_a_full_disk(tmp_path: Path, capsys: Any) -> None:
    resource = pytest.importorskip("resource")
    saved(ours, tmp_path / "old")
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = sorted(tmp_path.iterdir())
    # The place is tried out first, so only what comes after it may fail here.
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "check_target", lambda path: None)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, kept[1]))
            command = ["convert", str(tmp_path / "old"), "--to", "contrib"]
            assert main([*command, "-o", str(tmp_path / "new")]) == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, kept)
            signal.signal(signal.SIGXFSZ, ignored)
    assert capsys.readouterr().err.endswith("TensorFlow cannot write it: File too large\n")
    assert sorted(tmp_path.iterdir()) == before
