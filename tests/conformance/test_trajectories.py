"""Fifty training steps of TF 1.15.5: each step from the record's own state, few in one go."""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np
import pytest

from tests.conformance.trajectories import (
    FOLDER,
    STEPS,
    TRAJECTORIES,
    Trainer,
    recorded,
    steps_of,
)
from tests.tolerances import assert_close
from tf1_bn import batch_normalization

# Beyond, the path depends on the last digits: after 50 steps 3e-3 with ghost batches.
FREE_STEPS = 10
MOST_BYTES = 400_000


@pytest.fixture(scope="module")
def trainer_of() -> Iterator[Any]:
    opened: dict = {}

    def trainer(name: str) -> Trainer:
        if name not in opened:
            opened[name] = Trainer(batch_normalization, TRAJECTORIES[name])
        return opened[name]

    yield trainer
    for each in opened.values():
        each.close()


def _quantity(name: str) -> str:
    statistic = name.rsplit("/", 1)[-1].startswith(("moving_", "renorm_"))
    return "state" if statistic else "gradient"


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_each_step_from_the_recorded_state(name: str, trainer_of: Any) -> None:
    trainer = trainer_of(name)
    before = trainer.initial()
    for number, expected in enumerate(recorded(name)):
        trainer.load(before)
        found = trainer.step(number)
        assert_close(found.outputs, expected.outputs, "output", "float32", what=f"step {number}")
        assert set(found.state) == set(expected.state)
        for key, value in expected.state.items():
            what = f"{key}, step {number}"
            assert_close(found.state[key], value, _quantity(key), "float32", what=what)
        before = expected.state


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_first_steps_in_one_go(name: str, trainer_of: Any) -> None:
    for number, (found, expected) in enumerate(
        zip(steps_of(trainer_of(name), FREE_STEPS), recorded(name))
    ):
        for key, value in expected.state.items():
            what = f"{key}, step {number}"
            assert_close(found.state[key], value, "state", "float32", "free running", what=what)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_record_moves_at_every_step(name: str) -> None:
    """Each variable of each step differs from the last by more than is tolerated."""
    steps = recorded(name)
    assert len(steps) == STEPS
    for number in range(1, STEPS):
        for key, value in steps[number].state.items():
            assert np.isfinite(value).all()
            with pytest.raises(AssertionError):
                assert_close(steps[number - 1].state[key], value, _quantity(key), "float32")


def test_the_clipping_of_the_schedule_binds_and_lets_go() -> None:
    """A renorm whose bounds never mattered would prove nothing about them."""
    bound, free = 0, 0
    for number in range(10, STEPS):
        state = recorded("renorm")[number - 1].state
        ramp = min(max((number - 10.0) / 30.0, 0.0), 1.0)
        trained = recorded("renorm")[number]
        scale = state["bn/renorm_stddev"]
        # The average moved a quarter of the way to the batch's.
        batch = 4 * (trained.state["bn/renorm_stddev"] - 0.75 * scale)
        inside = np.abs(np.log(batch / scale)) < np.log(1 + 2 * ramp)
        bound, free = bound + int((~inside).sum()), free + int(inside.sum())
    assert bound >= 5 and free >= 50


def test_every_record_is_used_and_small() -> None:
    files = list(FOLDER.iterdir())
    expected = {f"{name}.npz" for name in TRAJECTORIES} | {"recorded_by.json"}
    assert {path.name for path in files} == expected
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
