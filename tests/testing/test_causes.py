"""The NumPy model is right, and each known mistake is named from its numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.testing.support import batch
from tf1_bn._src.proof.causes import Observation, likely_cause
from tf1_bn._src.proof.recording.model import Norm, apply
from tf1_bn._src.proof.recording.scales import scales

PLAIN = Norm((1,), momentum=0.9)
FUSED = Norm((3,), momentum=0.9, epsilon=1e-7, fused=True)
GHOSTS = Norm((1,), virtual_batch_size=3)
RENORM = Norm((1,), renorm=True, clipping={"rmax": 1.5, "dmax": 0.5})
ADJUSTED = Norm((1,), adjustment=(np.float64(1.5), np.float64(0.25)))


def state_for(norm: Norm, channels: int = 4) -> dict[str, Any]:
    random = np.random.RandomState(1)
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    names += ["moving_stddev", "renorm_mean", "renorm_stddev"] if norm.renorm else []
    state = {name: random.uniform(0.5, 1.5, channels) for name in names}
    if norm.epsilon < 1e-5:
        state["moving_mean"] *= 1e-3
        state["moving_variance"] *= 1e-6
    return state


def input_for(norm: Norm) -> Any:
    x = batch((6, 4) if norm.channel_axes == (1,) else (3, 2, 1, 4))
    # Small variances let epsilon show.
    return x * 1e-3 if norm.epsilon < 1e-5 else x


def observed(norm: Norm, training: bool, **mistakes: Any) -> Observation:
    x, state = input_for(norm), state_for(norm)
    output, after = apply(norm._replace(**mistakes), x, state, training)
    return Observation(norm, x, state, training, output, after)


def test_training_by_the_formula() -> None:
    x, state = input_for(PLAIN), state_for(PLAIN)
    output, after = apply(PLAIN, x, state, True)
    wide = x.astype("float64")
    hat = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-3)
    np.testing.assert_allclose(output, hat * state["gamma"] + state["beta"], rtol=1e-12)
    mean = 0.9 * state["moving_mean"] + 0.1 * wide.mean(0)
    np.testing.assert_allclose(after["moving_mean"], mean, rtol=1e-12)
    variance = 0.9 * state["moving_variance"] + 0.1 * wide.var(0)
    np.testing.assert_allclose(after["moving_variance"], variance, rtol=1e-12)


def test_inference_by_the_formula_moves_nothing() -> None:
    x, state = input_for(PLAIN), state_for(PLAIN)
    output, after = apply(PLAIN, x, state, False)
    root = np.sqrt(state["moving_variance"] + 1e-3)
    hat = (x.astype("float64") - state["moving_mean"]) / root
    np.testing.assert_allclose(output, hat * state["gamma"] + state["beta"], rtol=1e-12)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(after[name], state[name])


def test_fused_takes_the_sample_variance_and_a_larger_epsilon() -> None:
    x, state = input_for(FUSED), state_for(FUSED)
    output, after = apply(FUSED, x, state, True)
    flat = x.astype("float64").reshape(-1, 4)
    variance = 0.9 * state["moving_variance"] + 0.1 * flat.var(0, ddof=1)
    np.testing.assert_allclose(after["moving_variance"], variance, rtol=1e-12)
    hat = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1.001e-5)
    expected = (hat * state["gamma"] + state["beta"]).reshape(x.shape)
    np.testing.assert_allclose(output, expected, rtol=1e-9)


def test_ghosts_are_interleaved_and_averaged() -> None:
    x, state = input_for(GHOSTS), state_for(GHOSTS)
    output, after = apply(GHOSTS, x, state, True)
    for ghost in range(2):
        own = x[ghost::2].astype("float64")
        hat = (own - own.mean(0)) / np.sqrt(own.var(0) + 1e-3)
        np.testing.assert_allclose(output[ghost::2], hat * state["gamma"] + state["beta"])
    variances = np.mean([x[g::2].astype("float64").var(0) for g in range(2)], axis=0)
    expected = 0.99 * state["moving_variance"] + 0.01 * variances
    np.testing.assert_allclose(after["moving_variance"], expected)


def test_renorm_unclipped_equals_inference_with_its_averages() -> None:
    norm = Norm((1,), renorm=True)
    state = state_for(norm)
    x = input_for(norm)
    output, after = apply(norm, x, state, True)
    hat = (x.astype("float64") - state["renorm_mean"]) / state["renorm_stddev"]
    np.testing.assert_allclose(output, hat * state["gamma"] + state["beta"], rtol=1e-10)
    stddev = np.sqrt(x.astype("float64").var(0) + 1e-3)
    moved = 0.99 * state["moving_stddev"] + 0.01 * stddev
    np.testing.assert_allclose(after["moving_stddev"], moved)
    np.testing.assert_allclose(after["moving_variance"], moved**2 - 1e-3)


NAMED = [
    (PLAIN, True, {"bessel": True}, "Bessel"),
    (FUSED, True, {"bessel": False}, "Bessel"),
    (FUSED, True, {"clamp": False}, "epsilon clamp"),
    (FUSED, False, {"clamp": False}, "epsilon clamp"),
    (PLAIN, True, {"epsilon_outside_root": True}, "adds epsilon to the standard deviation"),
    (PLAIN, False, {"epsilon_outside_root": True}, "adds epsilon to the standard deviation"),
    (PLAIN, True, {"swapped_momentum": True}, "momentum convention"),
    (RENORM, True, {"swapped_momentum": True}, "momentum convention"),
    (GHOSTS, True, {"consecutive_ghosts": True}, "ghost grouping"),
    (GHOSTS, True, {"virtual_batch_size": None}, "no ghost batches at all"),
    (PLAIN, True, {"swapped_batch_moments": True}, "swapped statistics"),
    (PLAIN, False, {"swapped_moving": True}, "swapped statistics"),
    (PLAIN, True, {"swapped_parameters": True}, "swapped parameters"),
    (PLAIN, False, {"swapped_parameters": True}, "swapped parameters"),
    (PLAIN, True, {"no_gamma": True}, "gamma"),
    (PLAIN, True, {"no_beta": True}, "does not add beta"),
    (PLAIN, True, {"other_phase": True}, "training flag"),
    (PLAIN, False, {"other_phase": True}, "training flag"),
    (PLAIN, True, {"no_updates": True}, "does not move the moving statistics"),
    (PLAIN, True, {"other_phase": True, "no_updates": True}, "training flag"),
    (PLAIN, False, {"updates_in_inference": True}, "in inference (training flag)"),
    (RENORM, True, {"renorm": False}, "renorm correction"),
    (RENORM, True, {"renorm_after_update": True}, "after this step's update"),
    (ADJUSTED, True, {"adjustment": None}, "adjustment"),
    (PLAIN, True, {"bessel": True, "swapped_momentum": True}, "Bessel"),
]


@pytest.mark.parametrize("norm, training, mistakes, words", NAMED)
def test_a_mistake_is_named(norm: Norm, training: bool, mistakes: dict, words: str) -> None:
    right, wrong = observed(norm, training), observed(norm, training, **mistakes)
    cause = likely_cause(right, wrong)
    assert words in cause and cause.startswith("the candidate ")
    # The other way round it is the reference that departs from the configuration.
    reverse = likely_cause(wrong, right)
    assert words in reverse and reverse.startswith("the candidate computes as configured; the ref")


def test_both_of_two_mistakes_are_named() -> None:
    wrong = observed(PLAIN, True, bessel=True, swapped_momentum=True)
    cause = likely_cause(observed(PLAIN, True), wrong)
    assert "Bessel" in cause and "momentum convention" in cause


@pytest.mark.parametrize("norm", [PLAIN, FUSED, GHOSTS, RENORM, ADJUSTED])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_named_for_right_numbers(norm: Norm, training: bool) -> None:
    assert likely_cause(observed(norm, training), observed(norm, training)) == ""


def test_other_constants_are_measured() -> None:
    right = observed(PLAIN, True)
    wrong = observed(PLAIN._replace(epsilon=0.03), True)._replace(norm=PLAIN)
    assert likely_cause(right, wrong) == "the candidate's epsilon is about 0.03, not 0.001"
    wrong = observed(PLAIN._replace(momentum=0.7), True)._replace(norm=PLAIN)
    assert likely_cause(right, wrong) == "the candidate's momentum is about 0.7, not 0.9"


def test_unknown_mistakes_are_not_guessed_at() -> None:
    right = observed(PLAIN, True)
    wrong = right._replace(output=right.output[::-1])
    assert likely_cause(right, wrong) == ""


def test_scales_follow_the_size_of_the_terms() -> None:
    """An output near 0 made of numbers near 1000 is judged by the 1000."""
    x, state = input_for(PLAIN), state_for(PLAIN)
    near = scales(PLAIN, x, state, True, np.ones(x.shape))
    far = scales(PLAIN, x + 1000.0, state, True, np.ones(x.shape))
    assert near["output"].shape == (1, 4) and near["moving_mean"].shape == (4,)
    assert np.all(far["output"] > 100 * near["output"])
    assert np.all(far["moving_mean"] > 20 * near["moving_mean"])
    np.testing.assert_allclose(far["moving_variance"], near["moving_variance"], rtol=1e-4)
