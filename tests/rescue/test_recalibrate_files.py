"""`python -m tf1_bn recalibrate` on checkpoints that were just written, and on what is none."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tf1_bn._src.cli.main import main
from tf1_bn._src.rescue.models import opened
from tf1_bn._src.runtime.tensorflow_v1 import tf

ROWS = np.random.RandomState(0).normal([3.0, -1.0], [2.0, 0.1], [50, 2]).astype(np.float32)


def build(folder: Path, statistics: bool) -> str:
    with tf.Graph().as_default() as graph, make_session(graph) as session:
        rows = tf.placeholder(tf.float32, [None, 2], name="rows")
        phase = tf.placeholder(tf.bool, [], name="phase")
        hidden = tf1_bn.batch_normalization(rows, training=phase, name="first")
        kernel = tf.get_variable("kernel", [2, 2])
        second = tf1_bn.batch_normalization(
            tf.matmul(hidden, kernel), training=phase, name="second"
        )
        train = tf1_bn.minimize(tf.train.AdamOptimizer(), tf.reduce_sum(second**2))
        session.run(tf.global_variables_initializer())
        session.run(train, {rows: ROWS, phase: True})
        variables = tf.global_variables() if statistics else tf.trainable_variables()
        # Keys of one's own, as old programs have them.
        saver = tf.train.Saver({f"model/{v.op.name}": v for v in variables})
        return str(saver.save(session, str(folder / "old")))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Folders of the model with its statistics in the checkpoint, and without."""
    folders = {statistics: tmp_path_factory.mktemp("model") for statistics in (True, False)}
    for statistics, folder in folders.items():
        build(folder, statistics)
    return folders


def copied(model: Path, folder: Path) -> str:
    for path in model.iterdir():
        shutil.copy(str(path), str(folder))
    return str(folder / "old")


def values(prefix: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(prefix)
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}


def data(folder: Path, **arrays: Any) -> str:
    np.savez(str(folder / "data.npz"), **(arrays or {"rows": ROWS}))
    return str(folder / "data.npz")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("statistics", [True, False])
def test_a_new_checkpoint_with_the_statistics_of_all_data(
    models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], statistics: bool
) -> None:
    old = copied(models[statistics], tmp_path)
    given = data(tmp_path)
    before, new = files(tmp_path), str(tmp_path / "new")
    assert main(["recalibrate", old, given, "-o", new, "--batch-size", "7"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 layers from 8 batches\n") and out.endswith(f"{new}: written\n")
    assert {name: files(tmp_path)[name] for name in before} == before
    held, kept = values(new), values(old)
    prefix = "model/" if statistics else ""
    wide = ROWS.astype(np.float64)
    np.testing.assert_allclose(held[f"{prefix}first/moving_mean"], wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(held[f"{prefix}first/moving_variance"], wide.var(0), rtol=1e-6)
    for key in (key for key in kept if "/moving_" not in key):
        np.testing.assert_array_equal(held[key], kept[key])
    assert sum("/moving_" in key for key in held) == 4
    if statistics:
        # The old program's Saver restores it.
        with tf.Graph().as_default(), make_session() as session:
            saver = tf.train.import_meta_graph(f"{new}.meta")
            saver.restore(session, new)
            found = session.run("second/moving_mean:0")
        np.testing.assert_array_equal(found, held["model/second/moving_mean"])


def encrypted(path: str) -> str:
    """The archive, which now says that its arrays are encrypted."""
    content = bytearray(Path(path).read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        content[content.index(start) + (6 if start.endswith(b"\x04") else 8)] |= 1
    Path(path).write_bytes(bytes(content))
    return path


def huge(path: str) -> str:
    """An array that says of itself to be larger than any memory."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000000000,), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.npy", b"\x93NUMPY\x01\x00" + bytes([118, 0]) + header + bytes(64))
    return path


BAD: dict[str, tuple[Callable[[Path, str], list[str]], str]] = {
    "nothing there": (lambda f, old: [str(f / "gone"), data(f), str(f / "new")], "gone"),
    "no data": (lambda f, old: [old, str(f / "gone.npz"), str(f / "new")], "gone.npz: No such"),
    "data is no npz": (lambda f, old: [old, f"{old}.meta", str(f / "new")], "no whole .npz file"),
    "a wrong name": (
        lambda f, old: [old, data(f, columns=ROWS), str(f / "new")],
        "no array for rows:0; the placeholders to name the arrays by: rows",
    ),
    "one name too many": (
        lambda f, old: [old, data(f, rows=ROWS, labels=ROWS), str(f / "new")],
        "no tensor labels:0",
    ),
    "lengths differ": (
        lambda f, old: [old, data(f, rows=ROWS, kernel=ROWS[:2]), str(f / "new")],
        "all arrays must have as many examples",
    ),
    "other shape": (lambda f, old: [old, data(f, rows=ROWS[:, :1]), str(f / "new")], "batch 1: "),
    "objects": (
        lambda f, old: [old, data(f, rows=np.array([{}, {}])), str(f / "new")],
        "no whole .npz file of arrays",
    ),
    "encrypted": (lambda f, old: [old, encrypted(data(f)), str(f / "new")], "no whole .npz file"),
    "a shape that no memory holds": (
        lambda f, old: [old, huge(data(f)), str(f / "new")],
        "it needs more memory",
    ),
    "no examples": (lambda f, old: [old, data(f, rows=ROWS[:0]), str(f / "new")], "no batches"),
    "over the old one": (lambda f, old: [old, data(f), old], "is what is read"),
    "into no folder": (lambda f, old: [old, data(f), str(f / "a" / "new")], "No such file"),
    "no such output": (
        lambda f, old: [old, data(f), str(f / "new"), "--outputs", "logits"],
        "`outputs` must be",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_written(
    kind: str, models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, told = BAD[kind]
    given = arguments(tmp_path, copied(models[True], tmp_path))
    before = files(tmp_path)
    assert main(["recalibrate", *given[:2], "-o", *given[2:]]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and told in captured.err
    assert files(tmp_path) == before
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_saver_of_averaged_weights_does_not_hide_the_weights(tmp_path: Path) -> None:
    """The graph's last Saver may be one for other values of the same variables."""
    with tf.Graph().as_default(), make_session() as session:
        kernel = tf.get_variable("kernel", initializer=[1.0, 2.0])
        began = tf.get_variable("began", initializer=[3.0])
        tf.train.ExponentialMovingAverage(0.9).apply([kernel])
        session.run(tf.global_variables_initializer())
        kernel.load([5.0, 6.0], session)
        path = tf.train.Saver().save(session, str(tmp_path / "model"))
        tf.train.Saver({"kernel/ExponentialMovingAverage": kernel, "old/began": began})
        tf.train.export_meta_graph(f"{path}.meta")
    with opened(path) as model:
        assert model.missing == ()
        found = model.session.run(["kernel:0", "began:0"])
    np.testing.assert_array_equal(found[0], [5.0, 6.0])
    np.testing.assert_array_equal(found[1], [3.0])


@pytest.mark.parametrize("end", [".meta", ".index", ".data-00000-of-00001"])
def test_a_checkpoint_that_is_cut_off(
    end: str, models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = copied(models[True], tmp_path)
    path = Path(f"{old}{end}")
    path.write_bytes(path.read_bytes()[:-30])
    assert main(["recalibrate", old, data(tmp_path), "-o", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.glob("*new*"))


def test_a_checkpoint_without_what_was_trained(
    models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(models[True], tmp_path)
    with tf.Graph().as_default(), make_session() as session:
        kernel = tf.get_variable("other", [2])
        session.run(kernel.initializer)
        tf.train.Saver([kernel]).save(session, str(tmp_path / "old"), write_meta_graph=False)
    assert (
        main(["recalibrate", str(tmp_path / "old"), data(tmp_path), "-o", str(tmp_path / "new")])
        == 2
    )
    assert "the checkpoint lacks " in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_no_part_of_a_checkpoint(
    error: BaseException,
    models: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = copied(models[True], tmp_path)
    given, before = data(tmp_path), files(tmp_path)
    rename = os.rename

    def full(source: str, target: str) -> None:
        if source.endswith(".index"):
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", full)
    code = main(["recalibrate", old, given, "-o", str(tmp_path / "new")])
    assert code == (2 if isinstance(error, OSError) else 130)
    assert capsys.readouterr().err.count("\n") == 1
    assert files(tmp_path) == before
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
