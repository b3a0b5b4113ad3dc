# SPDX-License-Identifier: Apache-2.0
"""Batch normalization in NumPy float64: right, and wrong in each way that is often met.

It says how large the numbers of a computation are, which tolerances are relative to, and what a
wrong implementation would have given, by which `causes` names what went wrong. It never decides
whether two results agree.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

import numpy as np

Array = Any
State = Mapping[str, Array]
# The fused op raises smaller ones to this.
FUSED_EPSILON = 1.001e-5


class Norm(NamedTuple):
    """The arithmetic of one call; `channel_axes` are those of the input, not negative."""

    channel_axes: tuple[int, ...]
    momentum: float = 0.99
    epsilon: float = 1e-3
    fused: bool = False
    renorm: bool = False
    clipping: Mapping[str, float] = {}
    renorm_momentum: float = 0.99
    virtual_batch_size: int | None = None
    adjustment: tuple[Array, Array] | None = None


class Quirks(NamedTuple):
    """How an implementation departs from the right one; the defaults do not."""

    bessel: bool | None = None
    clamp: bool | None = None
    epsilon_outside_root: bool = False
    swapped_momentum: bool = False
    ghosts: str = "interleaved"
    other_phase: bool = False
    no_updates: bool = False
    updates_in_inference: bool = False
    swapped_batch_moments: bool = False
    swapped_moving: bool = False
    swapped_parameters: bool = False
    no_gamma: bool = False
    no_beta: bool = False
    no_renorm: bool = False
    renorm_after_update: bool = False
    no_adjustment: bool = False


RIGHT = Quirks()


class Result(NamedTuple):
    """The output and every statistic afterwards, in the shape the state has."""

    output: Array
    after: dict[str, Array]


class _Moments(NamedTuple):
    mean: Array
    variance: Array


def apply(norm: Norm, x: Array, state: State, training: bool, quirks: Quirks = RIGHT) -> Result:
    """One call on `x`; `state` holds the variables by name, in any shape with a value a channel."""
    x = np.asarray(x, dtype="float64")
    shape = [n if axis in norm.channel_axes else 1 for axis, n in enumerate(x.shape)]
    values = {
        k: np.asarray(v, "float64").reshape(shape) for k, v in state.items() if _fits(v, shape)
    }
    ghosts = "none" if norm.virtual_batch_size is None else quirks.ghosts
    groups = _groups(x, norm.virtual_batch_size, ghosts)
    axes = tuple(axis for axis in range(x.ndim) if axis not in norm.channel_axes)
    per_group = [_moments(group, axes) for _, group in groups]
    batch = _Moments(*(np.mean([m[i] for m in per_group], axis=0) for i in range(2)))
    epsilon = _epsilon(norm, quirks)
    after = _after(norm, values, batch, training, epsilon, _count(groups[0][1], axes), quirks)
    if training == quirks.other_phase:
        moving = [values["moving_mean"], values["moving_variance"]]
        mean, variance = moving[::-1] if quirks.swapped_moving else moving
        output = _normalize(x, _Moments(mean, variance), epsilon, quirks)
    else:
        output = np.empty_like(x)
        for (rows, group), own in zip(groups, per_group):
            output[rows] = _normalize(group, own, epsilon, quirks)
        output = _corrected(norm, output, values, after, batch, epsilon, quirks)
    names = ("beta", "gamma") if quirks.swapped_parameters else ("gamma", "beta")
    output = output * (1.0 if quirks.no_gamma else values.get(names[0], 1.0))
    output = output + (0.0 if quirks.no_beta else values.get(names[1], 0.0))
    shaped = {k: after[k].reshape(np.shape(state[k])) for k in after if k in state}
    return Result(output, shaped)


def _fits(value: Any, shape: list[int]) -> bool:
    return int(np.size(value)) == int(np.prod(shape))


def _groups(x: Array, size: int | None, ghosts: str) -> list[tuple[Any, Array]]:
    """Rows and values of each ghost batch; the whole batch where there are none."""
    if size is None or ghosts == "none":
        return [(slice(None), x)]
    count = max(1, len(x) // size)
    if ghosts == "consecutive":
        rows = [slice(g * size, (g + 1) * size) for g in range(count)]
    else:
        rows = [slice(g, None, count) for g in range(count)]
    return [(which, x[which]) for which in rows]


def _moments(x: Array, axes: tuple[int, ...]) -> _Moments:
    return _Moments(x.mean(axes, keepdims=True), x.var(axes, keepdims=True))


def _count(x: Array, axes: tuple[int, ...]) -> int:
    return int(np.prod([x.shape[axis] for axis in axes]))


def _epsilon(norm: Norm, quirks: Quirks) -> float:
    clamp = norm.fused if quirks.clamp is None else quirks.clamp
    return max(norm.epsilon, FUSED_EPSILON) if clamp else norm.epsilon


def _normalize(x: Array, moments: _Moments, epsilon: float, quirks: Quirks) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        if quirks.epsilon_outside_root:
            return (x - moments.mean) / (np.sqrt(moments.variance) + epsilon)
        return (x - moments.mean) / np.sqrt(moments.variance + epsilon)


def _corrected(
    norm: Norm,
    output: Array,
    values: Mapping[str, Array],
    after: Mapping[str, Array],
    batch: _Moments,
    epsilon: float,
    quirks: Quirks,
) -> Array:
    if norm.renorm and not quirks.no_renorm:
        seen = {**values, **after} if quirks.renorm_after_update else values
        floor = np.maximum(seen["renorm_stddev"], np.sqrt(epsilon))
        r = np.sqrt(batch.variance + epsilon) / floor
        d = (batch.mean - seen["renorm_mean"]) / floor
        bounds = norm.clipping
        r = np.clip(r, bounds.get("rmin", -np.inf), bounds.get("rmax", np.inf))
        d = np.clip(d, -bounds.get("dmax", np.inf), bounds.get("dmax", np.inf))
        output = output * r + d
    if norm.adjustment is not None and not quirks.no_adjustment:
        scale, bias = norm.adjustment
        output = output * scale + bias
    return output


def _after(
    norm: Norm,
    values: Mapping[str, Array],
    batch: _Moments,
    training: bool,
    epsilon: float,
    count: int,
    quirks: Quirks,
) -> dict[str, Array]:
    statistics = {k: v for k, v in values.items() if k not in ("gamma", "beta")}
    if (not training and not quirks.updates_in_inference) or quirks.no_updates:
        return statistics
    mean, variance = batch
    if norm.fused if quirks.bessel is None else quirks.bessel:
        variance = variance * (count / max(count - 1, 1))
    if quirks.swapped_batch_moments:
        mean, variance = variance, mean
    kept = 1.0 - norm.momentum if quirks.swapped_momentum else norm.momentum
    kept_renorm = 1.0 - norm.renorm_momentum if quirks.swapped_momentum else norm.renorm_momentum

    def moved(name: str, towards: Array, momentum: float) -> Array:
        return values[name] * momentum + towards * (1.0 - momentum)

    after = {"moving_mean": moved("moving_mean", mean, kept)}
    if "moving_stddev" not in values:
        after["moving_variance"] = moved("moving_variance", variance, kept)
        return {**statistics, **after}
    with np.errstate(invalid="ignore"):
        stddev = np.sqrt(variance + norm.epsilon)
    after["renorm_mean"] = moved("renorm_mean", mean, kept_renorm)
    after["renorm_stddev"] = moved("renorm_stddev", stddev, kept_renorm)
    after["moving_stddev"] = moved("moving_stddev", stddev, kept)
    after["moving_variance"] = np.maximum(after["moving_stddev"] ** 2 - norm.epsilon, 0.0)
    return {**statistics, **after}


def scales(norm: Norm, x: Array, state: State, training: bool, weights: Array) -> dict[str, Array]:
    """How large the terms are from which each quantity is computed, by "output", "gradient of x"...

    Differences are judged against these: an output near 0 that is the difference of two numbers
    near 1000 cannot be known better than to the rounding of 1000. There is one number a channel,
    in the shape of the variable or of the input's broadcast shape. `weights` is the gradient that
    comes from above.
    """
    x = np.asarray(x, dtype="float64")
    shape = [n if axis in norm.channel_axes else 1 for axis, n in enumerate(x.shape)]
    values = {
        k: np.asarray(v, "float64").reshape(shape) for k, v in state.items() if _fits(v, shape)
    }
    axes = tuple(axis for axis in range(x.ndim) if axis not in norm.channel_axes)
    if x.size == 0:
        return {}
    used = _Moments(values["moving_mean"], values["moving_variance"])
    batch = _moments(x, axes)
    inverse = 1.0 / np.sqrt(np.maximum(used.variance, 0.0) + norm.epsilon)
    if training:
        own = [_moments(g, axes) for _, g in _groups(x, norm.virtual_batch_size, "interleaved")]
        least = np.min([m.variance for m in own], axis=0)
        used, inverse = batch, 1.0 / np.sqrt(least + norm.epsilon)
    gamma = np.abs(np.asarray(values.get("gamma", np.ones(shape))))
    beta = np.abs(np.asarray(values.get("beta", np.zeros(shape))))
    size = np.abs(x).max(axes, keepdims=True) + np.abs(used.mean)
    weight = np.abs(np.asarray(weights, "float64"))
    summed = weight.sum(axes, keepdims=True)
    growth = _growth(_count(x, axes)) if training else 1.0
    found = {
        "output": (gamma * inverse * size) * growth + beta,
        "gradient of x": gamma * inverse * weight.max() * (1.0 + inverse * size) * growth,
        "gradient of gamma": summed * inverse * size,
        "gradient of beta": summed,
    }
    for name in values:
        if name not in ("gamma", "beta"):
            found[name] = _statistic_scale(norm, name, values, batch, size, growth)
    shapes = {f"gradient of {name}": np.shape(state[name]) for name in values}
    shapes.update({name: np.shape(state[name]) for name in values})
    return {k: np.reshape(v, shapes[k]) if k in shapes else v for k, v in found.items()}


def _statistic_scale(
    norm: Norm,
    name: str,
    values: Mapping[str, Array],
    batch: _Moments,
    size: Array,
    growth: float,
) -> Array:
    """What an average is rounded at: its old value, and the share of the batch that goes in."""
    rate = 1.0 - (norm.renorm_momentum if name.startswith("renorm_") else norm.momentum)
    if name == "moving_variance" and "moving_stddev" in values:
        # It is the square of this one.
        stddev = np.abs(values["moving_stddev"]) + np.sqrt(batch.variance + norm.epsilon)
        return 2.0 * stddev**2
    near = {"moving_mean": size, "renorm_mean": size, "moving_variance": batch.variance}
    towards = near.get(name, np.sqrt(batch.variance + norm.epsilon))
    return np.abs(values[name]) + abs(rate) * towards * growth


def _growth(count: int) -> float:
    """How much more a sum of `count` numbers is rounded than one operation: like a random walk.

    The table's entries allow for about 16 roundings of a single operation.
    """
    return float(1.0 + np.sqrt(count) / 16.0)
