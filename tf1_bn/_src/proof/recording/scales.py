# SPDX-License-Identifier: Apache-2.0
"""How large the numbers are that a batch norm adds up, which tolerances are relative to."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from .model import LEARNED, Array, Moments, Norm, broad, ghosts, moments


def scales(
    norm: Norm, x: Array, state: Mapping[str, Array], training: bool, weights: Any = 1.0
) -> dict[str, Array]:
    """Returns the size of the terms that make each quantity, by "output", "gradient of x"...

    Differences are judged against these: an output near 0 that is the difference of two numbers
    near 1000 cannot be known better than to the rounding of 1000. There is one number a channel,
    in the shape of the variable or of the input's broadcast shape; none for an empty input.

    Args:
      norm: what is computed.
      x: the input, of any shape and dtype.
      state: the variables by name, each in any shape with a value a channel.
      training: which phase.
      weights: the gradient that comes from above, of the input's shape, or a number.
    """
    x = np.asarray(x, dtype="float64")
    axes, values = broad(norm, x, state)
    if x.size == 0:
        return {}
    batch = moments(x, axes)
    mean, least, growth = values["moving_mean"], np.maximum(values["moving_variance"], 0.0), 1.0
    if training:
        own = [moments(x[rows], axes) for rows in ghosts(norm, x)]
        mean, least = batch[0], np.min([variance for _, variance in own], axis=0)
        # A sum is rounded more than one operation is: like a random walk. The table's entries
        # allow for about 16 roundings of a single operation.
        growth = float(1.0 + np.sqrt(x.size / batch[0].size) / 16.0)
    inverse = 1.0 / np.sqrt(least + norm.epsilon)
    size = np.abs(x).max(axes, keepdims=True) + np.abs(mean)
    gamma, beta = np.abs(values.get("gamma", 1.0)), np.abs(values.get("beta", 0.0))
    weight = np.abs(np.broadcast_to(np.asarray(weights, "float64"), x.shape))
    summed = weight.sum(axes, keepdims=True)
    found = {
        "output": gamma * inverse * size * growth + beta,
        "gradient of x": gamma * inverse * weight.max() * (1.0 + inverse * size) * growth,
        "gradient of gamma": summed * inverse * size,
        "gradient of beta": summed,
    }
    statistics = [name for name in values if name not in LEARNED]
    found.update({k: _statistic_scale(norm, k, values, batch, size, growth) for k in statistics})
    shapes = {f"gradient of {name}": np.shape(state[name]) for name in values}
    shapes.update({name: np.shape(state[name]) for name in values})
    return {k: np.reshape(v, shapes[k]) if k in shapes else v for k, v in found.items()}


def _statistic_scale(
    norm: Norm, name: str, values: Mapping[str, Array], batch: Moments, size: Array, growth: float
) -> Array:
    """What an average is rounded at: its old value, and the share of the batch that goes in."""
    deviation = np.sqrt(batch[1] + norm.epsilon)
    if name == "moving_variance" and "moving_stddev" in values:
        # It is the square of this one.
        return 2.0 * (np.abs(values["moving_stddev"]) + deviation) ** 2
    rate = 1.0 - (norm.renorm_momentum if name.startswith("renorm_") else norm.momentum)
    near = {"moving_mean": size, "renorm_mean": size, "moving_variance": batch[1]}
    return np.abs(values[name]) + abs(rate) * near.get(name, deviation) * growth
