"""`export_inference` and the command `export`: what is written, what is refused, what stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tests.rescue.export_models import depthwise, normalizer, resnet, with_values
from tf1_bn._src.cli.main import main
from tf1_bn._src.rescue.trial.batches import batches
from tf1_bn._src.rescue.trial.proof import is_alike, near, rows_apart
from tf1_bn._src.runtime.tensorflow_v1 import tf


@pytest.fixture
def session() -> Iterator[Any]:
    """A dense net whose flag is fed: data:0, training:0, scores:0."""
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    training = tf.placeholder(tf.bool, [], name="training")
    net = tf.matmul(data, tf.get_variable("kernel", [4, 3]))
    tf.tanh(tf1_bn.batch_normalization(net, training=training, name="bn"), name="scores")
    with make_session() as session:
        with_values(session)
        yield session


def _state(session: Any) -> list:
    return [session.graph.as_graph_def(), *session.run(tf.global_variables())]


def _refused(session: Any, path: Path, **how: Any) -> str:
    """Why it is refused; that nothing was written, and nothing changed."""
    before = _state(session)
    with pytest.raises(ValueError) as caught:
        tf1_bn.export_inference(session, **{"outputs": "scores:0", "path": path, **how})
    assert list(path.parent.iterdir()) == []
    after = _state(session)
    assert before[0] == after[0]
    for old, new in zip(before[1:], after[1:]):
        np.testing.assert_array_equal(old, new)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("build, format", [(resnet, "saved_model"), (depthwise, "tflite")])
def test_a_net_is_written_and_proven(
    build: Any, format: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # TF 1.15 has its converter to TFLite beside the Python that is started.
    if format != "tflite":
        request.getfixturevalue("new_processes_are_forks")
    training = tf.placeholder(tf.bool, [], name="training")
    model = build(normalizer(tf1_bn.batch_normalization, training), training)
    with make_session() as session:
        with_values(session)
        before = _state(session)
        path = tmp_path / "model"
        report = tf1_bn.export_inference(
            session, {"y": model.outputs}, path, format=format, fold=True, inputs={"x": "images"}
        )
        assert before[0] == _state(session)[0]
    assert report.session is not None and report.session < 1e-5
    assert report.unfolded is not None and report.unfolded < 1e-5
    assert report.rows is not None and report.rows < 1e-5
    assert report.kept == () and len(report.folded) == len(report.layers)
    assert [each.name for each in report.measured] == ["session", "unfolded", format]
    assert report.measured[2].size < report.measured[0].size
    assert report.settings == ("training:0 = False",)
    assert max(map(len, str(report).splitlines())) <= 80
    assert [each.name for each in tmp_path.iterdir()] == ["model"]
    if format == "saved_model":
        with tf.Graph().as_default(), tf.Session() as served:
            loaded = tf.saved_model.load(served, ["serve"], str(path))
        (signature,) = loaded.signature_def.values()
        assert list(signature.inputs) == ["x"] and list(signature.outputs) == ["y"]


def test_what_is_asked_for_must_be_there(session: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pb"
    told = _refused(session, path, outputs="score:0")
    assert "no tensor 'score:0'; near it are scores" in told
    assert "one of graph_def" in _refused(session, path, format="onnx")
    assert "at least one" in _refused(session, path, outputs=[])
    assert "no batch normalization" in _refused(session, path, outputs="MatMul")
    assert "cannot be 'no'" in _refused(session, path, phase={"training": "no"})
    assert "is no single number" in _refused(session, path, phase="data")
    assert "got True" in _refused(session, path, phase=True)
    with pytest.raises(TypeError, match="`session` must be"):
        tf1_bn.export_inference(None, "scores:0", path)
    with pytest.raises(TypeError, match="`outputs` must be"):
        tf1_bn.export_inference(session, 3, path)
    with pytest.raises(OSError):
        tf1_bn.export_inference(session, "scores:0", tmp_path / "none" / "model.pb")
    with pytest.raises(OSError):
        tf1_bn.export_inference(session, "scores:0", tmp_path)
    with pytest.raises(OSError, match="it is no file"):
        os.mkfifo(tmp_path / "pipe")
        tf1_bn.export_inference(session, "scores:0", tmp_path / "pipe")


def test_a_batch_must_fit(session: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pb"
    for batch, why in (
        (np.ones([2, 5]), "`batch`: data has the shape (?, 4) (got (2, 5))"),
        (np.full([2, 4], np.nan), "`batch`: data holds NaN"),
        (np.ones([0, 4]), "`batch`: data has no rows"),
        ({"other": np.ones([2, 4])}, "an array for each input, data (got other)"),
    ):
        assert why.replace("?", "None") in _refused(session, path, batch=batch).replace("?", "None")


def test_values_that_are_not_there_or_no_numbers(session: Any, tmp_path: Path) -> None:
    kernel = next(each for each in tf.global_variables() if each.op.name == "kernel")
    kernel.load(np.full([4, 3], np.nan), session)
    assert "kernel holds NaN" in _refused(session, tmp_path / "model.pb")
    with make_session(session.graph) as empty, pytest.raises(ValueError, match="without a value"):
        tf1_bn.export_inference(empty, "scores:0", tmp_path / "model.pb")


def test_a_number_that_must_be_fed_is_asked_for(tmp_path: Path) -> None:
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    keep = tf.placeholder(tf.float32, [], name="keep")
    tf.multiply(tf1_bn.batch_normalization(data, training=False), keep, name="scores")
    with make_session() as session:
        with_values(session)
        assert "also need keep:0" in _refused(session, tmp_path / "model.pb")


def test_an_output_that_depends_on_its_batch_is_refused() -> None:
    random = np.random.RandomState(0)
    first, other = random.normal(size=[4, 3]), random.normal(size=[4, 3])
    other[0] = first[0]
    assert rows_apart([[first], [other], [first[:1]]], ["y"], 4) == 0.0
    # Two results for each example are told apart by it as well, and no row is no proof.
    assert rows_apart([[first.reshape(12)], [other.reshape(12)]], ["y"], 4) == 0.0
    assert rows_apart([[first.mean()], [other.mean()]], ["y"], 4) is None
    for results in ([first - first.mean(0), other - other.mean(0)], [first, first[:1] + 0.1]):
        with pytest.raises(ValueError, match="y: the output of a row depends on the rows beside"):
            rows_apart([[each] for each in results], ["y"], 4)


def test_what_a_proof_lets_pass() -> None:
    """What is no number is no proof, nor is a number that is always the same."""
    good = np.ones([4, 3])
    bad = np.where(np.arange(4)[:, None] == 0, np.nan, good)
    with pytest.raises(ValueError, match="depends on the rows beside"):
        rows_apart([[good], [bad]], ["y"], 4)
    with pytest.raises(ValueError, match="as of a tf.squeeze without an axis"):
        rows_apart([[good], [good[0]]], ["y"], 4)
    for one, other in ((good, bad), (good * 1j, good * 2j), (np.array([70000]), np.array([70005]))):
        with pytest.raises(ValueError, match="y differs"):
            near([one], [other], ["y"], "before")
    # Half of the digits are as good as the model has them, whatever it is held against.
    assert near([np.float16([1.0])], [np.array([1.001])], ["y"], "by formula") > 0
    assert is_alike([good, np.ones(2)], 4) and not is_alike([good, np.arange(4)], 4)
    assert not is_alike([np.ones([])], 4)


def test_what_is_fed_is_a_tensor_that_the_outputs_need(tmp_path: Path) -> None:
    rows = tf.data.Dataset.from_tensors((np.ones([2, 4], np.float32), np.ones([2], np.float32)))
    data, labels = tf.data.make_initializable_iterator(rows).get_next()
    tf.identity(tf1_bn.batch_normalization(data, training=False), name="scores")
    tf.reduce_sum(labels)
    path = tmp_path / "model.pb"
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        assert "read from IteratorGetNext" in _refused(session, path)
        told = _refused(session, path, inputs=[data, labels])
        assert "do not depend on the input IteratorGetNext_1" in told
        with pytest.raises(ValueError, match="give a `batch` of the size"):
            batches({"x": tf.placeholder(tf.float32, [None, None])}, None, sizes_stay=True)


def _checkpoint(session: Any, folder: Path) -> str:
    folder.mkdir()
    return str(tf.train.Saver().save(session, str(folder / "step")))


@pytest.mark.usefixtures("new_processes_are_forks")
@pytest.mark.slow
def test_the_command_exports_a_checkpoint(
    session: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    prefix = _checkpoint(session, tmp_path / "run")
    out = tmp_path / "model.pb"
    words = ["export", f"{prefix}.meta", "--outputs", "scores", "-o", str(out)]
    assert main([*words, "--fold"]) == 0
    assert "bn into MatMul" in capsys.readouterr().out and out.stat().st_size > 0
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_command_says_in_one_line_what_it_cannot_do(
    session: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    prefix = _checkpoint(session, tmp_path / "run")
    out = tmp_path / "model.pb"
    content = Path(f"{prefix}.meta").read_bytes()
    Path(tmp_path / "cut.meta").write_bytes(content[: len(content) // 2])
    Path(tmp_path / "cut.index").write_bytes(b"")
    linked = tmp_path / "linked"
    os.link(f"{prefix}.meta", str(linked))
    Path(tmp_path / "empty").mkdir()
    for source, words, code, told in (
        (f"{prefix}-1", [], 2, "No such file"),
        (str(tmp_path / "empty"), [], 2, "nor a folder of checkpoints"),
        (str(tmp_path / "cut"), [], 2, "no MetaGraphDef, or not all of it"),
        (prefix, ["--outputs", "scoers"], 1, "near it are scores"),
        (prefix, ["--phase", "training=maybe"], 2, "'maybe' is no number"),
        (prefix, ["-o", f"{prefix}.meta", "--overwrite"], 2, "belongs to the checkpoint"),
        (f"{prefix}.meta", ["-o", f"{prefix}.index", "--overwrite"], 2, "belongs to the check"),
        (str(tmp_path / "run"), ["-o", str(linked), "--overwrite"], 2, "belongs to the checkpoint"),
    ):
        given = ["export", source, "--outputs", "scores", "-o", str(out), *words]
        assert main(given) == code, source
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1, error
    assert not out.exists() and Path(f"{prefix}.meta").read_bytes() == content


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it needs a full disk")
@pytest.mark.usefixtures("new_processes_are_forks")
@pytest.mark.slow
def test_a_file_that_was_there_survives_a_full_disk(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pb"
    path.write_bytes(b"old")

    def full(*_: Any) -> None:
        with open("/dev/full", "wb") as opened:
            opened.write(b"x" * 2**16)

    monkeypatch.setattr("tf1_bn._src.rescue.trial.trial._save", full)
    with pytest.raises(OSError, match="No space"):
        tf1_bn.export_inference(session, "scores:0", path)
    assert path.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == [path.name]
