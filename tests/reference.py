"""Batch normalization in float64 NumPy, written from the papers alone; knows nothing of tf1_bn.

The one that the tests compare with: nothing here imports the package or TensorFlow.

Everything works on rows: the input with its channel axes moved last and joined, `[B, S, C]` for B
examples of S positions. Statistics and parameters are vectors of length C.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FUSED_EPSILON = 1.001e-5


class Norm(NamedTuple):
    """What a layer was asked for. `channel_axes` are not negative; `kept` is the momentum."""

    channel_axes: tuple = (1,)
    kept: float = 0.75
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    renorm: bool = False
    rmin: float | None = None
    rmax: float | None = None
    dmax: float | None = None
    renorm_kept: float = 0.5
    ghost: int | None = None
    fused: bool = False
    adjustment: tuple | None = None


class Step(NamedTuple):
    """Outputs, the state afterwards, and the correction that renorm took as a constant."""

    outputs: Any
    state: dict
    correction: tuple | None = None


class Slopes(NamedTuple):
    """Of sum(outputs * upstream), along the inputs, gamma and beta; the latter as vectors."""

    inputs: Any
    gamma: Any
    beta: Any


def new_state(gamma: Any, beta: Any) -> dict:
    """Parameters beside averages that are 0 and 1, as a new layer has them."""
    zero, one = np.zeros(np.size(gamma)), np.ones(np.size(gamma))
    averages = {"moving_mean": zero, "moving_variance": one, "moving_stddev": one}
    return {**averages, "renorm_mean": zero, "renorm_stddev": one, "gamma": gamma, "beta": beta}


def normalized(x: Any, epsilon: float = 1e-3, channel_axes: tuple = (-1,)) -> Any:
    """Outputs of a plain layer in training that has learned nothing: gamma is 1, beta 0."""
    axes = tuple(axis % np.ndim(x) for axis in channel_axes)
    channels = int(np.prod([np.shape(x)[axis] for axis in axes]))
    state = new_state(np.ones(channels), np.zeros(channels))
    return train(Norm(axes, epsilon=epsilon), x, state).outputs


def infer(norm: Norm, x: Any, state: dict) -> Step:
    """Normalization with the moving statistics: y = (x - m) / sqrt(v + eps) * gamma + beta."""
    rows, state = _rows(norm, x), _flat(state)
    hat = (rows - state["moving_mean"]) / np.sqrt(state["moving_variance"] + _epsilon(norm))
    return Step(_back(norm, x, _learned(norm, hat, state)), dict(state))


def train(norm: Norm, x: Any, state: dict, correction: tuple | None = None) -> Step:
    """One training step; `correction` replaces renorm's own (r, d)."""
    rows, state = _rows(norm, x), _flat(state)
    epsilon = _epsilon(norm)
    hat, mean, variance = _normalized(norm, rows, epsilon)
    if norm.renorm:
        stddev = np.sqrt(variance + epsilon)
        if correction is None:
            correction = _correction(norm, mean, stddev, state)
        hat = hat * correction[0] + correction[1]
    if norm.adjustment is not None:
        hat = hat * norm.adjustment[0] + norm.adjustment[1]
    outputs = _back(norm, x, _learned(norm, hat, state))

    def moved(name: str, value: Any, kept: float) -> Any:
        return kept * state[name] + (1.0 - kept) * value

    after = dict(state)
    after["moving_mean"] = moved("moving_mean", mean, norm.kept)
    if norm.renorm:
        after["moving_stddev"] = moved("moving_stddev", stddev, norm.kept)
        after["moving_variance"] = np.maximum(after["moving_stddev"] ** 2 - epsilon, 0.0)
        after["renorm_mean"] = moved("renorm_mean", mean, norm.renorm_kept)
        after["renorm_stddev"] = moved("renorm_stddev", stddev, norm.renorm_kept)
    else:
        count = rows.shape[0] * rows.shape[1]
        bessel = count / max(count - 1.0, 1.0) if norm.fused else 1.0
        after["moving_variance"] = moved("moving_variance", variance * bessel, norm.kept)
    return Step(outputs, after, correction)


def slopes(
    norm: Norm,
    x: Any,
    state: dict,
    upstream: Any,
    training: bool,
    correction: tuple | None = None,
) -> Slopes:
    """The first derivatives, in closed form.

    Renorm's correction takes no gradient, and `correction` replaces its own (r, d); moving
    statistics are constants.
    """
    rows, dy, state = _rows(norm, x), _rows(norm, upstream), _flat(state)
    epsilon = _epsilon(norm)
    r, d = (1.0, 0.0)
    scale, bias = norm.adjustment if norm.adjustment is not None and training else (1.0, 0.0)
    groups = _groups(norm, rows) if training else [slice(None)]
    mean, variance = state["moving_mean"], state["moving_variance"]
    if training:
        of_group = [(rows[g].mean((0, 1)), rows[g].var((0, 1))) for g in groups]
        if correction is not None:
            r, d = correction
        elif norm.renorm:
            seen = [np.mean(values, axis=0) for values in zip(*of_group)]
            r, d = _correction(norm, seen[0], np.sqrt(seen[1] + epsilon), state)
    d_rows, before_gamma = np.empty_like(rows), np.empty_like(rows)
    for index, group in enumerate(groups):
        if training:
            mean, variance = of_group[index]
        stddev = np.sqrt(variance + epsilon)
        hat = (rows[group] - mean) / stddev
        before_gamma[group] = (hat * r + d) * scale + bias
        d_hat = dy[group] * state["gamma"] * scale * r
        if training:
            d_hat = d_hat - d_hat.mean((0, 1)) - hat * (d_hat * hat).mean((0, 1))
        d_rows[group] = d_hat / stddev
    return Slopes(_back(norm, x, d_rows), (dy * before_gamma).sum((0, 1)), dy.sum((0, 1)))


def _normalized(norm: Norm, rows: Any, epsilon: float) -> tuple:
    """Rows of mean 0 and deviation 1, and the moments that the averages are told."""
    hat, means, variances = np.empty_like(rows), [], []
    for group in _groups(norm, rows):
        mean = rows[group].mean((0, 1))
        variance = ((rows[group] - mean) ** 2).mean((0, 1))
        hat[group] = (rows[group] - mean) / np.sqrt(variance + epsilon)
        means.append(mean)
        variances.append(variance)
    return hat, np.mean(means, axis=0), np.mean(variances, axis=0)


def _groups(norm: Norm, rows: Any) -> list:
    """Which examples share statistics; i is in ghost batch i modulo their number."""
    count = 1 if norm.ghost is None else rows.shape[0] // norm.ghost
    return [slice(first, None, count) for first in range(count)]


def _correction(norm: Norm, mean: Any, stddev: Any, state: dict) -> tuple:
    scale = np.maximum(state["renorm_stddev"], np.sqrt(norm.epsilon))
    r, d = stddev / scale, (mean - state["renorm_mean"]) / scale
    if norm.rmin is not None:
        r = np.maximum(r, norm.rmin)
    if norm.rmax is not None:
        r = np.minimum(r, norm.rmax)
    if norm.dmax is not None:
        d = np.clip(d, -norm.dmax, norm.dmax)
    return r, d


def _learned(norm: Norm, hat: Any, state: dict) -> Any:
    if norm.scale:
        hat = hat * state["gamma"]
    return hat + state["beta"] if norm.center else hat


def _epsilon(norm: Norm) -> float:
    return max(norm.epsilon, FUSED_EPSILON) if norm.fused else norm.epsilon


def _flat(state: dict) -> dict:
    return {name: np.asarray(value, "float64").reshape(-1) for name, value in state.items()}


def _rows(norm: Norm, x: Any) -> Any:
    moved = _channels_last(norm, np.asarray(x, "float64"))
    channels = int(np.prod([x.shape[axis] for axis in norm.channel_axes]))
    examples = 1 if 0 in norm.channel_axes else x.shape[0]
    return moved.reshape(examples, -1, channels)


def _back(norm: Norm, x: Any, rows: Any) -> Any:
    axes = sorted(norm.channel_axes)
    moved = rows.reshape(_channels_last(norm, x).shape)
    return np.moveaxis(moved, range(x.ndim - len(axes), x.ndim), axes)


def _channels_last(norm: Norm, x: Any) -> Any:
    axes = sorted(norm.channel_axes)
    return np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
