"""What batch normalization is for, and what it must not depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.bench import Layer, bench, draw, draw_state
from tests.properties.layers import EXTENDED, LAYERS, PLAIN
from tests.properties.test_reference import rows_in, seeds
from tests.reference import Norm, train
from tests.tolerances import assert_close

# Lengths and distances from a thousandth to a thousand, of either sign.
sizes = st.floats(-3.0, 3.0)
signs = st.sampled_from([-1.0, 1.0])
FED_EPSILON = [name for name in PLAIN if "batch axis" not in name]
OPEN = [name for name in LAYERS if LAYERS[name].open_batch]


def per_channel(layer: Layer, values: Any) -> Any:
    """A vector over the channels, shaped to meet the input."""
    axes = sorted(layer.norm.channel_axes)
    ones = [n if axis in axes else 1 for axis, n in enumerate(layer.shape)]
    return np.reshape(values, ones).astype(layer.dtype)


def channels(layer: Layer) -> int:
    return int(np.prod([layer.shape[axis] for axis in layer.norm.channel_axes]))


def identity(state: dict) -> dict:
    """The state with gamma 1 and beta 0."""
    plain = {"gamma": 1.0, "beta": 0.0}
    return {k: np.full_like(v, plain[k]) if k in plain else v for k, v in state.items()}


@pytest.mark.parametrize("name", PLAIN)
@given(seed=seeds, factor=st.integers(1, 4))
def test_each_channel_has_mean_0_and_its_share_of_deviation_1(
    name: str, seed: int, factor: int
) -> None:
    """The variance is v / (v + epsilon), which the definition gives and nothing else does."""
    layer = PLAIN[name]
    x = draw(layer, seed, rows_in(layer, factor))
    y, _ = bench(layer).run(x, identity(draw_state(layer, seed)))
    others = tuple(axis for axis in range(x.ndim) if axis not in layer.norm.channel_axes)
    mean, variance = y.mean(others), y.var(others)
    batch = x.var(others)
    assert_close(mean, np.zeros_like(mean), "output", layer.dtype, "NumPy")
    assert_close(variance, batch / (batch + layer.norm.epsilon), "output", layer.dtype, "NumPy")


@pytest.mark.parametrize("name", FED_EPSILON)
@given(seed=seeds, shift=sizes, size=sizes, sign=signs)
def test_shift_and_scale_of_a_channel_do_not_matter(
    name: str, seed: int, shift: float, size: float, sign: float
) -> None:
    """Without epsilon y is the same for a * x + b of any b and a > 0, channel by channel."""
    layer = PLAIN[name]
    x, state = draw(layer, seed, 4), identity(draw_state(layer, seed))
    random = np.random.RandomState(seed)
    # One channel far away, the others nearer: no one factor for all.
    a = sign * 10.0 ** (size * random.permutation(channels(layer)) / channels(layer))
    b = 10.0**shift * random.uniform(-1, 1, channels(layer)) * np.abs(a)

    y, _ = bench(layer).run(x, state, epsilon=0.0)
    moved, _ = bench(layer).run(
        x * per_channel(layer, a) + per_channel(layer, b), state, epsilon=0.0
    )

    assert_close(moved, sign * y, "invariance", layer.dtype, "NumPy")


@pytest.mark.parametrize("name", FED_EPSILON)
@given(seed=seeds, size=sizes)
def test_epsilon_is_in_units_of_the_variance(name: str, seed: int, size: float) -> None:
    layer = PLAIN[name]
    x, state = draw(layer, seed, 4), identity(draw_state(layer, seed))
    a = 10.0**size
    y, _ = bench(layer).run(x, state, epsilon=0.5)
    scaled, _ = bench(layer).run(a * x, state, epsilon=0.5 * a * a)
    assert_close(scaled, y, "invariance", layer.dtype, "NumPy")


@pytest.mark.parametrize("name", [n for n in OPEN if LAYERS[n].norm.ghost is None])
@given(seed=seeds, batch=st.integers(2, 8))
def test_the_order_of_the_batch_does_not_matter(name: str, seed: int, batch: int) -> None:
    layer = LAYERS[name]
    x, state = draw(layer, seed, batch), draw_state(layer, seed)
    order = np.random.RandomState(seed).permutation(batch)
    y, after = bench(layer).run(x, state)
    permuted, also = bench(layer).run(x[order], state)
    assert_close(permuted, y[order], "output", layer.dtype, "NumPy")
    for key, value in after.items():
        assert_close(also[key], value, "state", layer.dtype, "NumPy", what=key)


@pytest.mark.parametrize("name", [n for n in OPEN if LAYERS[n].phase == "placeholder"])
@given(seed=seeds, batch=st.integers(2, 6))
def test_inference_of_an_example_is_the_same_in_any_company(
    name: str, seed: int, batch: int
) -> None:
    layer = LAYERS[name]
    x, state = draw(layer, seed, batch), draw_state(layer, seed)
    others = np.concatenate([x[:1], draw(layer, seed + 1, batch)])
    y, _ = bench(layer).run(x, state, training=False)
    for company in (others, x[:1]):
        again, _ = bench(layer).run(company, state, training=False)
        assert_close(again[0], y[0], "output", layer.dtype, "NumPy")


GHOSTS = [name for name in EXTENDED if EXTENDED[name].norm.ghost is not None]


def plain_of(layer: Layer) -> Layer:
    return layer._replace(norm=layer.norm._replace(ghost=None))


@pytest.mark.parametrize("name", GHOSTS)
@given(seed=seeds)
def test_a_ghost_as_large_as_the_batch_is_plain_batch_norm(name: str, seed: int) -> None:
    layer = EXTENDED[name]
    x, state = draw(layer, seed, layer.norm.ghost), draw_state(layer, seed)
    y, after = bench(layer).run(x, state)
    plain, also = bench(plain_of(layer)).run(x, state)
    assert_close(y, plain, "output", layer.dtype, "NumPy")
    for key, value in also.items():
        assert_close(after[key], value, "state", layer.dtype, "NumPy", what=key)


@pytest.mark.parametrize("name", [n for n in GHOSTS if not EXTENDED[n].norm.renorm])
@given(seed=seeds, count=st.integers(2, 4))
def test_each_ghost_is_plain_batch_norm_of_every_countth_row(
    name: str, seed: int, count: int
) -> None:
    layer = EXTENDED[name]
    x = draw(layer, seed, count * layer.norm.ghost)
    state = draw_state(layer, seed)
    y, after = bench(layer).run(x, state)
    parts = [bench(plain_of(layer)).run(x[first::count], state) for first in range(count)]
    for first, (part, _) in enumerate(parts):
        assert_close(y[first::count], part, "output", layer.dtype, "NumPy")
    for key, value in after.items():
        mean = np.mean([also[key] for _, also in parts], axis=0)
        assert_close(value, mean, "state", layer.dtype, "NumPy", what=key)


RENORM = Layer(Norm(renorm=True, epsilon=0.0625), (6, 5))
STILL = Layer(Norm(renorm=True, epsilon=0.0625, rmin=1.0, rmax=1.0, dmax=0.0), (6, 5))


@pytest.mark.parametrize("shape, axis", [((6, 5), 1), ((4, 3, 2, 5), 3), ((4, 5, 3), 1)])
@given(seed=seeds, batch=st.integers(2, 7))
def test_renorm_without_leeway_is_plain_batch_norm(
    shape: tuple, axis: int, seed: int, batch: int
) -> None:
    layer = STILL._replace(shape=shape, norm=STILL.norm._replace(channel_axes=(axis,)))
    plain = Layer(Norm((axis,), epsilon=0.0625), shape)
    x, state = draw(layer, seed, batch), draw_state(layer, seed)
    y, after = bench(layer).run(x, state)
    expected, also = bench(plain).run(x, {key: state[key] for key in draw_state(plain, seed)})
    assert_close(y, expected, "output", layer.dtype, "NumPy")
    assert_close(after["moving_mean"], also["moving_mean"], "state", layer.dtype, "NumPy")


@given(seed=seeds, batch=st.integers(1, 7))
def test_renorm_without_bounds_trains_on_what_inference_gives(seed: int, batch: int) -> None:
    """The identity of the paper: the correction undoes the batch, with the averages of before."""
    x, state = draw(RENORM, seed, batch), draw_state(RENORM, seed)
    y, _ = bench(RENORM).run(x, state)
    averages = {
        "moving_mean": state["renorm_mean"],
        "moving_variance": state["renorm_stddev"] ** 2 - RENORM.norm.epsilon,
    }
    inferred, _ = bench(RENORM).run(x, {**state, **averages}, training=False)
    assert_close(y, inferred, "output", RENORM.dtype, "NumPy")


AVERAGED = ["rows", "images, composed", "ghosts", "renorm", "fused", "fused, channels first"]


@pytest.mark.parametrize("name", AVERAGED)
@given(seed=seeds, count=st.integers(1, 12))
def test_many_updates_are_the_closed_form(name: str, seed: int, count: int) -> None:
    """m_n = k^n m_0 + (1 - k) (b_n + k b_(n-1) + ... ), for the batches b that went by."""
    layer = LAYERS[name]
    built, momentum = bench(layer), layer.norm.kept
    state = draw_state(layer, seed)
    batches = [draw(layer, seed + n + 1, rows_in(layer, 2)) for n in range(count)]
    built.load(state)
    for x in batches:
        built.session.run(built.updates, built.feed(x, True))
    found = built.state()

    forgetful = layer.norm._replace(kept=0.0, renorm_kept=0.0)
    moments = [train(forgetful, x, state).state for x in batches]
    kept_of = {"renorm_mean": layer.norm.renorm_kept, "renorm_stddev": layer.norm.renorm_kept}
    for key, value in found.items():
        if key in ("gamma", "beta") or (layer.norm.renorm and key == "moving_variance"):
            continue
        k = kept_of.get(key, momentum)
        weights = [(1 - k) * k ** (count - 1 - n) for n in range(count)]
        closed = k**count * state[key] + sum(w * m[key] for w, m in zip(weights, moments))
        assert_close(value, closed, "state", layer.dtype, "NumPy", what=key)


@given(seed=seeds, batch=st.integers(1, 6))
@pytest.mark.parametrize("channels_first", [False, True])
def test_fused_is_composed_but_for_bessels_factor(
    channels_first: bool, seed: int, batch: int
) -> None:
    shape, axis = ((4, 5, 3, 2), 1) if channels_first else ((4, 3, 2, 5), 3)
    fused = Layer(Norm((axis,), fused=True), shape, "float32", fused=True)
    composed = Layer(Norm((axis,)), shape, "float32")
    x, state = draw(fused, seed, batch), draw_state(fused, seed)

    y, after = bench(fused).run(x, state)
    other, also = bench(composed).run(x, state)

    assert_close(y, other, "output", "float32", "cross")
    assert_close(after["moving_mean"], also["moving_mean"], "state", "float32", "cross")
    count = 6 * batch
    old = fused.norm.kept * state["moving_variance"]
    assert_close(
        after["moving_variance"] - old,
        (also["moving_variance"] - old) * count / (count - 1),
        "state",
        "float32",
        "cross",
    )
    inferred = [bench(layer).run(x, state, training=False)[0] for layer in (fused, composed)]
    assert_close(*inferred, "output", "float32", "cross")
