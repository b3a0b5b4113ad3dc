"""Every layer does one step as NumPy does it in float64: outputs, state, derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.bench import Layer, bench, draw, draw_state
from tests.properties.layers import LAYERS
from tests.reference import Step, infer, train
from tests.tolerances import assert_close

EXAMPLES = 12
seeds = st.integers(0, 2**31)
batches = st.integers(1, 4)


def rows_in(layer: Layer, factor: int) -> int:
    """A batch size that the ghosts divide, and of more than one value a channel."""
    return factor * (layer.norm.ghost or 2)


def assert_step(layer: Layer, found: tuple, expected: Step) -> None:
    y, state = found
    assert_close(y, expected.outputs, "output", layer.dtype, "NumPy")
    assert set(state) == set(expected.state)
    for name, value in expected.state.items():
        assert_close(state[name], value, "state", layer.dtype, "NumPy", what=name)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=EXAMPLES)
@given(seed=seeds, factor=batches)
def test_a_training_step(name: str, seed: int, factor: int) -> None:
    layer = LAYERS[name]
    x, state = draw(layer, seed, rows_in(layer, factor)), draw_state(layer, seed + 1)
    assert_step(layer, bench(layer).run(x, state), train(layer.norm, x, state))


@pytest.mark.parametrize("name", [n for n in LAYERS if LAYERS[n].phase == "placeholder"])
@settings(max_examples=EXAMPLES)
@given(seed=seeds, batch=st.integers(1, 7))
def test_inference(name: str, seed: int, batch: int) -> None:
    layer = LAYERS[name]
    x, state = draw(layer, seed, batch), draw_state(layer, seed + 1)
    found = bench(layer).run(x, state, training=False)
    assert_step(layer, found, infer(layer.norm, x, state))
    for key, value in found[1].items():
        np.testing.assert_array_equal(value, state[key], err_msg=key)


def _path(layer: Layer, x: Any, state: dict, weights: Any, directions: dict) -> Any:
    """The loss as a function of the way along the directions, renorm's correction held still."""
    still = train(layer.norm, x, state).correction

    def loss(way: float) -> float:
        moved = {k: v + way * directions[k] if k in directions else v for k, v in state.items()}
        y = train(layer.norm, x + way * directions["x"], moved, still).outputs
        return float(np.sum(np.sin(y) * weights))

    return loss


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=EXAMPLES)
@given(seed=seeds, factor=st.integers(2, 4))
def test_first_and_second_derivatives(name: str, seed: int, factor: int) -> None:
    """Gradients, and the gradient of a gradient as penalties use it, by finite differences."""
    layer, built = LAYERS[name], bench(LAYERS[name])
    x, state = draw(layer, seed, rows_in(layer, factor)), draw_state(layer, seed + 1)
    random = np.random.RandomState(seed + 1)
    weights = random.uniform(-2, 2, x.shape)
    shapes = {"x": x.shape, **{k: state[k].shape for k in ("gamma", "beta") if k in state}}
    directions = {k: random.uniform(-1, 1, shape) for k, shape in shapes.items()}
    feed = built.feed(x, True)
    feed[built.weights] = weights
    for key, placeholder in built.directions.items():
        feed[placeholder] = directions[key].reshape(_sizes(placeholder, x))

    built.load(state)
    slope, curvature = built.session.run([built.slope, built.curvature], feed)

    f = _path(layer, x.astype("float64"), state, weights, directions)
    # Five points: the error is of fourth order.
    h = 2e-4
    f0, f1, b1, f2, b2 = (f(k * h) for k in (0, 1, -1, 2, -2))
    first = (8 * (f1 - b1) - (f2 - b2)) / (12 * h)
    second = (16 * (f1 + b1) - (f2 + b2) - 30 * f0) / (12 * h * h)
    assert_close(slope, first, "finite difference", layer.dtype, "NumPy", "first derivative")
    assert_close(curvature, second, "second difference", layer.dtype, "NumPy", "second derivative")


def _sizes(placeholder: Any, x: Any) -> list:
    static = placeholder.shape.as_list()
    return [x.shape[0] if size is None else size for size in static]
