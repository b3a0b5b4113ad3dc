"""What a program hears at its end, under `run`, `record` and `verify`, and their exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.doctor.heard import Heard, heard

CLASSIC = Path(__file__).with_name("classic")
# Each script with the code that it hears.
CODES = {
    "training_forgotten": "BN101",
    "updates_forgotten": "BN110",
    "collected_too_early": "BN112",
    "saver_of_trainable": "BN306",
    "last_axis_behind_channels_first": "BN307",
    "gan_over_the_whole_collection": "BN303",
    "frozen_in_training": "BN305",
}


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Heard]:
    """The seven under `run --check`, with our layer in the place of TensorFlow's."""
    folder = tmp_path_factory.mktemp("classic")
    commands = [["run", "--force", "--check", str(CLASSIC / f"{name}.py")] for name in CODES]
    return dict(zip(CODES, heard(folder, commands)))


def test_there_is_no_other_classic_mistake() -> None:
    assert {path.stem for path in CLASSIC.glob("*.py")} == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_a_classic_mistake_is_heard(name: str, classic: dict[str, Heard]) -> None:
    ended = classic[name]
    assert re.findall(r"^tf1_bn: (BN\d+) (?:warning|error)", ended.err, re.M) == [CODES[name]]
    assert ended.code == 1
    assert "Traceback" not in ended.err
    said = [line for line in ended.err.splitlines() if line.startswith("tf1_bn: ")]
    assert len(said) <= 6
