"""`python -m tf1_bn doctor` on files that were just written, and on what is no such file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import tf1_bn
from tests.doctor.zoo import classic, frozen_in_training
from tests.meta.project import ROOT
from tf1_bn._src.cli.main import main
from tf1_bn._src.doctor.statistics import Numbers, findings_of
from tf1_bn._src.runtime.tensorflow_v1 import tf, tf_version

RECORDED = Path(__file__).parents[1] / "discovery" / "data"


def saved(folder: Path) -> str:
    with tf.Graph().as_default(), tf.Session() as session:
        saver = classic(tf1_bn.batch_normalization)["saver"]
        session.run(tf.global_variables_initializer())
        return str(saver.save(session, str(folder / "step")))


def told(path: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["doctor", str(path)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_checkpoint_by_each_of_its_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = saved(tmp_path)
    for name in (prefix, f"{prefix}.meta", f"{prefix}.index", tmp_path / "checkpoint", tmp_path):
        code, out, _ = told(name, capsys)
        assert code == 0
        assert "bn1    switched  tf1_bn   0 to 0       1 to 1" in out.splitlines()
    Path(f"{prefix}.meta").unlink()
    code, out, _ = told(prefix, capsys)
    assert code == 0 and "bn2    not in a checkpoint" in out


def test_a_checkpoint_that_is_called_as_their_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path)
    for file in tmp_path.glob("step.*"):
        file.rename(tmp_path / f"checkpoint{file.name[4:]}")
    for name in (tmp_path / "checkpoint", tmp_path):
        code, out, err = told(name, capsys)
        assert (code, err) == (0, "") and "bn2    switched  tf1_bn" in out


def test_a_variable_that_holds_no_numbers_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("words/moving_mean", initializer=tf.constant(["a"]))
        for name in ("bn/moving_mean", "bn/moving_variance"):
            tf.get_variable(name, initializer=np.float64([2.0]))
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "step"), write_meta_graph=False)
    code, out, err = told(prefix, capsys)
    assert (code, err) == (0, "") and "2 to 2" in out and "words" not in out


def test_a_frozen_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "frozen.pb"
    with tf.Graph().as_default():
        file.write_bytes(
            frozen_in_training(tf1_bn.batch_normalization)["graph"].SerializeToString()
        )
    code, out, _ = told(file, capsys)
    assert code == 1 and "BN305 warning: bn1, bn2: " in out


def test_a_graph_of_tensorflow_1_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recorded.pb"
    file.write_bytes(gzip.decompress((RECORDED / "frozen_training.pb.gz").read_bytes()))
    assert main(["doctor", "--json", str(file)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [(layer["layer"], layer["phase"]) for layer in document["layers"]] == [
        ("bn", "training")
    ]
    assert [(each["code"], each["layers"]) for each in document["findings"]] == [("BN305", ["bn"])]


def test_a_checkpoint_of_tensorflow_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(ROOT / "migration_guide" / "data" / "old_model", capsys)
    assert "bn     switched  tf.layers  0.0141 to 0.0353  1.47 to 4.14" in out.splitlines()
    is_refused = tf_version() >= (2, 2)
    assert code == int(is_refused)
    assert [line.split()[0] for line in out.splitlines() if line.startswith("BN")] == (
        ["BN407"] if is_refused else []
    )


@pytest.mark.parametrize("content", [None, b"", b"no graph at all", "folder", "cut"])
def test_what_cannot_be_read_is_said_in_a_line(
    content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "target"
    if content == "cut":
        path = Path(saved(tmp_path) + ".meta")
        path.write_bytes(path.read_bytes()[:-7])
    elif content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    code, out, err = told(path, capsys)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert str(path) in err


@pytest.mark.parametrize(
    "mean, variance, beta, code",
    [
        ([0.0, 0.0], [1.0, 1.0], [0.5, 0.0], "BN402"),
        ([0.0, 0.0], [1.0, 1.0], [0.0, 0.0], None),
        ([0.1, np.nan], [1.0, 1.0], [0.5, 0.0], "BN403"),
        ([0.1, 0.0], [1.0, -0.1], [0.5, 0.0], "BN403"),
        (None, [1.0, 2.0], [0.5, 0.0], "BN401"),
    ],
)
def test_numbers(mean: object, variance: object, beta: object, code: str | None) -> None:
    given = {"moving_mean": mean, "moving_variance": variance, "beta": beta}
    arrays = {role: np.array(value) for role, value in given.items() if value is not None}
    layer = Numbers("bn", {role: f"bn/{role}" for role in given}, arrays)
    assert [each.code for each in findings_of([layer])] == ([code] if code else [])
