"""What real TF 1.15.5 did verifies here, and each wrong candidate is refused, the cause named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tensorflow
from tests.testing.hand_written import hand_written
from tests.testing.support import SLIM_NET, SMALL_NET
from tf1_bn.testing import Recording, Report, load_recording, verify

CALLS = ["fused", "renormed", "rows", "ghosts", "plain", "critic/shared", "critic/shared"]


def part(recording: Recording, *names: str) -> Recording:
    return recording._replace(calls=[call for call in recording.calls if call.name in names])


@pytest.fixture(scope="module")
def recording() -> Recording:
    return load_recording(str(SMALL_NET))


@pytest.mark.parametrize("path", [SMALL_NET, SLIM_NET], ids=lambda path: path.stem)
def test_recorded_on_1_15_verifies(path: Path) -> None:
    report = verify(str(path))
    assert report.exit_code == 0, report.text()
    assert all(section.notes == [] for section in report.sections)
    for section in report.sections:
        aspects = {row.aspect for row in section.rows}
        assert {"output", "gradient of x", "variables", "moving_mean", "moving_variance"} <= aspects


def test_what_is_in_the_recording(recording: Recording) -> None:
    """A comparison is worth what was recorded: both phases, moving statistics, distinct values."""
    assert [call.name for call in recording.calls] == CALLS
    for call in recording.calls[:5]:
        assert [step.training for step in call.steps] == [True, True, True, False]
        for step in call.steps[:3]:
            before, after = step.group("before"), step.group("after")
            assert (before["moving_variance"] != after["moving_variance"]).all()
    # Two calls of one training run write the shared statistics, so each is known by itself only.
    for call in recording.calls[5:]:
        assert all("after/moving_mean" not in step.arrays for step in call.steps)
        assert all("alone/after/moving_mean" in step.arrays for step in call.steps)


def test_an_independent_implementation_verifies(recording: Recording) -> None:
    """Written by hand, so the wrong ones below are wrong by their mistake alone."""
    tensorflow()
    assert verify(recording, hand_written()).exit_code == 0


WRONG = [
    ("swapped_batch_moments", "plain", "swapped statistics"),
    ("swapped_moving", "rows", "swapped statistics"),
    ("swapped_parameters", "plain", "swapped parameters"),
    ("biased", "fused", "without Bessel's factor"),
    ("bessel", "plain", "with Bessel's factor"),
    ("consecutive_ghosts", "ghosts", "ghost grouping"),
    ("no_ghosts", "ghosts", "no ghost batches at all"),
    ("swapped_momentum", "fused", "momentum convention"),
    ("other_momentum", "fused", "momentum is about 0.5, not 0.9"),
    ("other_epsilon", "rows", "epsilon is about 0.03, not 0.001"),
    ("epsilon_outside_root", "fused", "adds epsilon to the standard deviation"),
    ("always_training", "fused", "training flag"),
    ("always_inference", "plain", "training flag"),
    ("no_updates", "rows", "does not move the moving statistics"),
    ("updates_in_inference", "ghosts", "in inference (training flag)"),
    ("no_renorm", "renormed", "renorm correction"),
    ("no_stop_gradient", "renormed", "only gradients differ"),
    ("no_gradient_through_moments", "fused", "only gradients differ"),
    ("forgot_beta", "fused", "does not add beta"),
]


@pytest.mark.parametrize("mistake, call, words", WRONG)
def test_a_wrong_candidate_is_refused(
    recording: Recording, mistake: str, call: str, words: str
) -> None:
    report = verify(part(recording, call), hand_written(mistake))
    assert report.exit_code == 1
    assert len(report.causes) >= 1 and all(words in cause for cause in report.causes), report.text()


def test_a_candidate_that_raises_is_a_difference(recording: Recording) -> None:
    def refuses(x: Any, **kwargs: Any) -> Any:
        raise ValueError("not today")

    report = verify(part(recording, "plain"), refuses)
    assert report.exit_code == 1
    assert report.sections[0].rows[0].actual == "ValueError: not today"


def test_a_candidate_without_updates_or_variables(recording: Recording) -> None:
    report = verify(part(recording, "plain"), lambda x, **kwargs: 2.0 * x)
    assert report.exit_code == 1
    different = {row.aspect for row in report.sections[0].rows if row.verdict == "different"}
    assert {"variables", "number of update ops", "moving_mean", "gradient of gamma"} <= different


def test_nothing_recorded_is_nothing_proven(recording: Recording) -> None:
    empty: Report = verify(recording._replace(calls=[]))
    assert empty.exit_code == 2
    bare = [recording.calls[0]._replace(steps=[], notes=["inside a loop"]), recording.calls[4]]
    report = verify(recording._replace(calls=bare))
    assert report.exit_code == 2
    assert "not compared: everything (inside a loop)" in report.text()


def test_one_wrong_number_is_found(recording: Recording) -> None:
    """The tolerance is far below what any one value of a recording can be changed by."""
    (call,) = part(recording, "plain").calls
    for role in ("output", "after/moving_mean", "after/moving_variance", "alone/gradient of x"):
        changed = call.steps[1].arrays[role].copy()
        changed.flat[3] += 1e-3 * abs(changed).max() + 1e-3
        step = call.steps[1]._replace(arrays={**call.steps[1].arrays, role: changed})
        report = verify(Recording({}, [call._replace(steps=[call.steps[0], step])]))
        wrong = [row for row in report.sections[0].rows if row.verdict == "different"]
        assert [(row.aspect, row.step) for row in wrong] == [(role.split("/")[-1], "training 2")]


def test_hostile_configurations_are_differences(recording: Recording) -> None:
    """Arguments come from a file; whatever stands there, the answer is a report."""
    (call,) = part(recording, "plain").calls
    for config in (
        {},
        {**call.config, "axis": "everywhere"},
        {**call.config, "momentum": {"tensor": "momentum"}},
        {**call.config, "unknown": 3},
        {**call.config, "adjustment": {"scale": [1, 2], "bias": "x"}},
        {**call.config, "renorm_clipping": [1]},
        {**call.config, "renorm": True, "renorm_clipping": {"rmax": "x"}},
    ):
        report = verify(Recording({}, [call._replace(config=config)]))
        assert report.exit_code in (0, 1, 2)
    assert verify(Recording({}, [call._replace(dtype="string")])).exit_code == 1
    assert verify(Recording({}, [call._replace(shape=[None, 3, 3])])).exit_code == 1
