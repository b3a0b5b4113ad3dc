"""`python -m tf1_bn rescue` on three models that TensorFlow 1.15.5 recorded, and where it stops."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tests.meta.project import ROOT
from tf1_bn._src.cli.main import main
from tf1_bn._src.rescue.models import begin_averages, running
from tf1_bn._src.rescue.recalibrated import How, recalibrated
from tf1_bn._src.rescue.regained import regained
from tf1_bn._src.runtime.tensorflow_v1 import tf

pytestmark = pytest.mark.usefixtures("new_processes_are_forks")

MODELS = ROOT / "migration_guide" / "data" / "lost_models.zip"


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels, and which ones are held out."""
    with np.load(str(ROOT / "examples" / "data" / "digits.npz")) as arrays:
        images = arrays["images"].astype(np.float32)[..., np.newaxis]
        return images, arrays["labels"], np.arange(len(images)) % 5 == 4


def right(path: Path) -> float:
    """The part of the held-out digits that a frozen graph gets right, asked one by one."""
    images, labels, held_out = digits()
    with tf.Graph().as_default() as graph, make_session(graph) as session:
        tf.import_graph_def(tf.GraphDef.FromString(path.read_bytes()), name="")
        ask = session.make_callable("logits:0", ["images:0"])
        found = [ask(images[i : i + 1]).argmax() for i in np.flatnonzero(held_out)]
    return float((np.asarray(found) == labels[held_out]).mean())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with the lost models and their data."""
    with zipfile.ZipFile(str(MODELS)) as file:
        file.extractall(str(tmp_path))
    images, _, held_out = digits()
    np.savez(str(tmp_path / "digits.npz"), images=images[~held_out])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rescued(source: str, *more: str) -> int:
    return main(["rescue", source, "--outputs", "logits", "-o", "new.pb", *more])


TOLD = {
    "forgotten": "BN402: bn1, bn2, bn3: gamma or beta are trained",
    "trainable": "moving statistics that the file lacks: bn1/moving_mean",
    "frozen.pb": "in training for good, now in inference: bn1, bn2, bn3",
}


def test_a_graph_frozen_in_training_answers_right_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of the guide does the same with the other two."""
    before = contents(folder)
    assert rescued("frozen.pb", "--data", "digits.npz", "--fold") == 0
    out = capsys.readouterr().out
    steps = [line for line in out.splitlines() if line[:1].isdigit()]
    assert [step.split(":")[0] for step in steps] == [
        *("1 repair", "2 statistics", "3 recalibrate", "4 export")
    ]
    assert "proof: measured again with these" in out and "folded: 3 of 3" in out
    assert max(map(len, out.splitlines())) <= 80
    assert right(folder / "frozen.pb") < 0.2 and right(folder / "new.pb") > 0.96
    assert {name: contents(folder)[name] for name in before} == before


def test_it_stops_where_statistics_are_lost_and_no_data_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    for source, told in TOLD.items():
        assert rescued(source) == 1
        captured = capsys.readouterr()
        assert told in captured.out
        assert captured.err.startswith("tf1_bn: stopped at 3 recalibrate: the moving statistics ")
        assert captured.err.count("\n") == 1
    assert contents(folder) == before


OUTPUTS = {
    "no output": "scores",
    "no such place": "logits:7",
    "no place": "logits:x",
    "no name": ",",
}


def broken(folder: Path, kind: str) -> tuple[str, list[str]]:
    """The source and further arguments of something that goes wrong."""
    images = np.load(str(folder / "digits.npz"))["images"]
    arguments = ["--data", "digits.npz"]
    if kind == "not finite":
        images[100, 3, 3] = np.nan
    elif kind == "other shape":
        images = images[:, :4]
    elif kind == "cut":
        content = (folder / "frozen.pb").read_bytes()
        (folder / "frozen.pb").write_bytes(content[: len(content) // 2])
        return "frozen.pb", arguments
    elif kind in OUTPUTS:
        return "forgotten", [*arguments, "--outputs", OUTPUTS[kind]]
    elif kind in ("a folder in the way", "the input in the way"):
        return "forgotten", [*arguments, "-o", "." if "folder" in kind else "forgotten.meta"]
    elif kind == "no folder":
        return "forgotten", [*arguments, "-o", "nowhere/new.pb"]
    np.savez(str(folder / "digits.npz"), images=images)
    return "forgotten", arguments


@pytest.mark.parametrize(
    "kind, told",
    [
        ("not finite", "batch 2: the input of bn1 is not finite"),
        ("other shape", "batch 1: Cannot feed value of shape"),
        ("cut", "frozen.pb: no GraphDef, or not all of it"),
        ("no output", "the graph has no output scores:0"),
        ("no such place", "the graph has no output logits:7"),
        ("no place", "the graph has no output logits:x"),
        ("no name", "name at least one output"),
        ("a folder in the way", ". exists: name a new one"),
        ("the input in the way", "forgotten.meta exists: name a new one"),
        ("no folder", "nowhere/new.pb: No such file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_written(
    kind: str, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, arguments = broken(folder, kind)
    before = contents(folder)
    assert rescued(source, *arguments) in (1, 2)
    error: Any = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert contents(folder) == before


def test_batches_of_one_size_from_a_pipeline_with_labels_and_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What old programs have beside the images: labels, a fixed batch, an iterator."""
    rows = np.random.RandomState(0).normal(3.0, 2.0, [24, 2]).astype(np.float32)
    with tf.Graph().as_default() as graph, make_session(graph) as session:
        sets = tf.data.Dataset.from_tensors((np.zeros([8, 2], np.float32), np.zeros([8], np.int32)))
        data, labels = tf.data.make_initializable_iterator(sets).get_next()
        phase = tf.placeholder(tf.bool, [], name="phase")
        net = tf1_bn.batch_normalization(data, training=phase, name="bn")
        tf.identity(net, name="logits")
        tf.losses.sparse_softmax_cross_entropy(labels, net)
        session.run(tf.global_variables_initializer())
        source = tf.train.Saver().save(session, str(tmp_path / "model"))
    names = {"IteratorGetNext:0": rows, "IteratorGetNext:1": np.zeros([24], np.int32)}
    np.savez(str(tmp_path / "data.npz"), **names)
    words = ["--data", str(tmp_path / "data.npz"), "-o", str(tmp_path / "new.pb")]
    assert main(["rescue", source, "--outputs", "logits", *words]) == 0
    # The op has another output, so the placeholder of this one has a name of its own.
    assert "in   IteratorGetNext: IteratorGetNext_0:0" in capsys.readouterr().out
    with tf.Graph().as_default() as graph, make_session(graph) as session:
        message = tf.GraphDef.FromString((tmp_path / "new.pb").read_bytes())
        tf.import_graph_def(message, name="")
        found = session.run("logits:0", {"IteratorGetNext_0:0": rows[:8]})
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(found, ((wide - wide.mean(0)) / wide.std(0))[:8], rtol=2e-3)


def test_calls_that_share_a_layer_get_the_same_averages() -> None:
    """A siamese net that was frozen in training."""
    with tf.Graph().as_default() as graph:
        rows = [tf.placeholder(tf.float32, [None, 2], name=name) for name in ("left", "right")]
        with tf.name_scope("bn"):
            gamma, beta = tf.constant([2.0, 3.0]), tf.constant([1.0, 0.5])
        for data, name in zip(rows, ("first", "second")):
            mean, variance = tf.nn.moments(data, [0])
            tf.identity(tf.nn.batch_normalization(data, mean, variance, beta, gamma, 0.01), name)
        shaped = graph.as_graph_def(add_shapes=True)
    found = regained(shaped, ["first:0", "second:0"])
    assert len(found.begun) == 2
    random = np.random.RandomState(0)
    arrays = {name: random.normal(mean, 2.0, [40, 2]) for name, mean in (("left", 3), ("right", 7))}
    with running(found.graph_def, None) as model:
        begin_averages(model)
        recalibrated(model, arrays, How(("first:0", "second:0")))
        feed = {f"{name}:0": array for name, array in arrays.items()}
        answers = model.session.run(["first:0", "second:0"], feed)
    both = np.concatenate(list(arrays.values()))
    for array, answer in zip(arrays.values(), answers):
        expected = (array - both.mean(0)) / np.sqrt(both.var(0) + 0.01) * [2.0, 3.0] + [1.0, 0.5]
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
