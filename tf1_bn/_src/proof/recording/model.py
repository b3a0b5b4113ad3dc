# SPDX-License-Identifier: Apache-2.0
"""Batch normalization in NumPy float64: right, and wrong in each way that is often met.

It says what a wrong implementation would have given, by which `causes` names what went wrong. It
never decides whether two results agree.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

Array = Any
# Mean and variance of a batch, or the moving ones.
Moments = Sequence[Array]
# The fused op raises smaller ones to this.
FUSED_EPSILON = 1.001e-5
LEARNED = ("gamma", "beta")


class Norm(NamedTuple):
    """The arithmetic of one call.

    channel_axes: of the input, not negative. clipping: bounds of the renorm correction, by name.
    adjustment: a scale and a bias that fit the input. What stands from `bessel` on departs from
    the right arithmetic, but for the defaults; None of `bessel` and `clamp` does what `fused` does.
    """

    channel_axes: tuple[int, ...]
    momentum: float = 0.99
    epsilon: float = 1e-3
    fused: bool = False
    renorm: bool = False
    clipping: Mapping[str, float] = {}
    renorm_momentum: float = 0.99
    virtual_batch_size: int | None = None
    adjustment: tuple[Array, Array] | None = None
    bessel: bool | None = None
    clamp: bool | None = None
    epsilon_outside_root: bool = False
    swapped_momentum: bool = False
    consecutive_ghosts: bool = False
    other_phase: bool = False
    no_updates: bool = False
    updates_in_inference: bool = False
    swapped_batch_moments: bool = False
    swapped_moving: bool = False
    swapped_parameters: bool = False
    no_gamma: bool = False
    no_beta: bool = False
    renorm_after_update: bool = False

    @property
    def clamped_epsilon(self) -> float:
        """The epsilon under the root."""
        is_clamped = self.fused if self.clamp is None else self.clamp
        return max(self.epsilon, FUSED_EPSILON) if is_clamped else self.epsilon


def apply(
    norm: Norm, x: Array, state: Mapping[str, Array], training: bool
) -> tuple[Array, dict[str, Array]]:
    """One call on `x`.

    Args:
      norm: what is computed.
      x: of any shape and dtype.
      state: the variables by name, each in any shape with a value a channel.
      training: which phase is asked for.

    Returns:
      The output in float64, and each statistic afterwards in the shape that the state has.
    """
    x = np.asarray(x, dtype="float64")
    axes, values = broad(norm, x, state)
    groups = ghosts(norm, x)
    per_group = [moments(x[rows], axes) for rows in groups]
    batch = [np.mean([own[i] for own in per_group], axis=0) for i in range(2)]
    after = _after(norm, values, batch, training, _size(x[groups[0]], axes))
    if training == norm.other_phase:
        moving = [values["moving_mean"], values["moving_variance"]]
        output = _normalize(norm, x, moving[::-1] if norm.swapped_moving else moving)
    else:
        output = np.empty_like(x)
        for rows, own in zip(groups, per_group):
            output[rows] = _normalize(norm, x[rows], own)
        seen = {**values, **after} if norm.renorm_after_update else values
        output = _corrected(norm, output, seen, batch)
    gamma, beta = LEARNED[::-1] if norm.swapped_parameters else LEARNED
    output = output * (1.0 if norm.no_gamma else values.get(gamma, 1.0))
    output = output + (0.0 if norm.no_beta else values.get(beta, 0.0))
    return output, {k: after[k].reshape(np.shape(state[k])) for k in after if k in state}


def broad(
    norm: Norm, x: Array, state: Mapping[str, Array]
) -> tuple[tuple[int, ...], dict[str, Array]]:
    """Returns the axes that are reduced, and the variables in shapes that broadcast with `x`."""
    shape = [n if axis in norm.channel_axes else 1 for axis, n in enumerate(x.shape)]
    axes = tuple(axis for axis in range(x.ndim) if axis not in norm.channel_axes)
    fit = {k: v for k, v in state.items() if np.size(v) == np.prod(shape)}
    return axes, {k: np.asarray(v, "float64").reshape(shape) for k, v in fit.items()}


def ghosts(norm: Norm, x: Array) -> list[slice]:
    """Returns which examples are in each ghost batch; all of them where there are none."""
    size = norm.virtual_batch_size
    if size is None:
        return [slice(None)]
    count = max(1, len(x) // size)
    if norm.consecutive_ghosts:
        return [slice(g * size, (g + 1) * size) for g in range(count)]
    return [slice(g, None, count) for g in range(count)]


def moments(x: Array, axes: tuple[int, ...]) -> Moments:
    """Returns the mean and the biased variance, `axes` kept with size 1.

    >>> [part.tolist() for part in moments(np.array([1.0, 3.0]), (0,))]
    [[2.0], [1.0]]
    """
    return x.mean(axes, keepdims=True), x.var(axes, keepdims=True)


def _size(x: Array, axes: tuple[int, ...]) -> int:
    return int(np.prod([x.shape[axis] for axis in axes]))


def _normalize(norm: Norm, x: Array, used: Moments) -> Array:
    mean, variance = used
    epsilon = norm.clamped_epsilon
    with np.errstate(invalid="ignore", divide="ignore"):
        if norm.epsilon_outside_root:
            return (x - mean) / (np.sqrt(variance) + epsilon)
        return (x - mean) / np.sqrt(variance + epsilon)


def _corrected(norm: Norm, output: Array, seen: Mapping[str, Array], batch: Moments) -> Array:
    """The output with renorm's r and d by the averages in `seen`, and with the adjustment."""
    if norm.renorm:
        epsilon, bounds = norm.clamped_epsilon, norm.clipping
        floor = np.maximum(seen["renorm_stddev"], np.sqrt(epsilon))
        r = np.sqrt(batch[1] + epsilon) / floor
        d = (batch[0] - seen["renorm_mean"]) / floor
        r = np.clip(r, bounds.get("rmin", -np.inf), bounds.get("rmax", np.inf))
        d = np.clip(d, -bounds.get("dmax", np.inf), bounds.get("dmax", np.inf))
        output = output * r + d
    if norm.adjustment is not None:
        scale, bias = norm.adjustment
        output = output * scale + bias
    return output


def _after(
    norm: Norm, values: Mapping[str, Array], batch: Moments, training: bool, count: int
) -> dict[str, Array]:
    """The statistics after a step whose batch has `count` values a channel."""
    statistics = {k: v for k, v in values.items() if k not in LEARNED}
    if norm.no_updates or not (training or norm.updates_in_inference):
        return statistics
    mean, variance = batch
    if norm.fused if norm.bessel is None else norm.bessel:
        variance = variance * (count / max(count - 1, 1))
    if norm.swapped_batch_moments:
        mean, variance = variance, mean

    def move(name: str, towards: Array, momentum: float) -> None:
        kept = 1.0 - momentum if norm.swapped_momentum else momentum
        statistics[name] = values[name] * kept + towards * (1.0 - kept)

    move("moving_mean", mean, norm.momentum)
    if "moving_stddev" not in values:
        move("moving_variance", variance, norm.momentum)
        return statistics
    with np.errstate(invalid="ignore"):
        stddev = np.sqrt(variance + norm.epsilon)
    move("renorm_mean", mean, norm.renorm_momentum)
    move("renorm_stddev", stddev, norm.renorm_momentum)
    move("moving_stddev", stddev, norm.momentum)
    statistics["moving_variance"] = np.maximum(statistics["moving_stddev"] ** 2 - norm.epsilon, 0.0)
    return statistics
