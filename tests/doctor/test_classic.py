"""The seven classic mistakes, an ordinary script each: heard by `check`, `doctor` and `scan`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, Iterator

import pytest

import tf1_bn
from tf1_bn._src.doctor.examined import examination
from tf1_bn._src.runtime.tensorflow_v1 import tf
from tf1_bn._src.scan.scan import scan

SCRIPTS = Path(__file__).parent / "classic"
# By script: what `check` says of its graph, `doctor` of what it saves, `scan` of its source.
HEARD: dict[str, tuple[set[str], set[str], set[str]]] = {
    "training_forgotten": ({"BN101"}, {"BN101", "BN402"}, {"BN101"}),
    "updates_forgotten": ({"BN110"}, {"BN301", "BN402"}, {"BN110"}),
    # In the graph an empty list is as if there were none; the source shows that it was empty.
    "collected_too_early": ({"BN110"}, {"BN301", "BN402"}, {"BN112"}),
    "saver_of_trainable": ({"BN306"}, {"BN306", "BN401"}, set()),
    "last_axis_behind_channels_first": ({"BN307"}, {"BN307"}, set()),
    "gan_over_the_whole_collection": ({"BN303", "BN304"}, {"BN304"}, {"BN103"}),
    "frozen_in_training": ({"BN305"}, {"BN305"}, {"BN103"}),
}
# What only tells what new TensorFlow needs; no mistake.
NEEDS = {"BN100", "BN201", "BN203"}


@pytest.fixture
def installed() -> Iterator[None]:
    tf1_bn.install(force=True)
    yield
    tf1_bn.uninstall()


def ran(name: str) -> dict[str, Any]:
    """The names that a script leaves behind, which it runs to its end in this folder."""
    with tf.Graph().as_default():
        return runpy.run_path(str(SCRIPTS / f"{name}.py"))


def test_each_script_is_heard() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(HEARD)


# What a program hears unasked.
@pytest.mark.filterwarnings("ignore:.* trained, and no session run so far:UserWarning")
@pytest.mark.parametrize("name", HEARD)
def test_a_classic_mistake(
    name: str, installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checked, doctored, scanned = HEARD[name]
    names = ran(name)
    found = tf1_bn.check(names["train_op"], outputs=names.get("outputs"), saver=names.get("saver"))
    assert {each.code for each in found} == checked
    target = "model.pb" if (tmp_path / "model.pb").exists() else "model"
    assert {each.code for _, each in examination(target).found} == doctored
    told = scan([str(SCRIPTS / f"{name}.py")]).findings
    assert {each.code for each in told} - NEEDS == scanned
