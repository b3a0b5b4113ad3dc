"""Inputs, weights and variable states: a function of shape, role and step, equal everywhere.

Only the raw bits of the Mersenne twister are used and all numbers lie on a grid of sixteenths
below 8, so every dtype down to bfloat16 holds them exactly and every NumPy makes the same ones.
"""

from __future__ import annotations

import zlib
from typing import Any, Sequence

import numpy as np

GRID = 16.0


def _uniform(seed: str, shape: Sequence[int], low: float, high: float) -> Any:
    bits = np.random.RandomState(zlib.crc32(seed.encode()) & 0x7FFFFFFF).random_sample(shape)
    return np.round((low + (high - low) * bits) * GRID) / GRID


def make_input(shape: Sequence[int], index: int, step: int) -> Any:
    """Noise whose centre and width differ along every axis, so no two channels are alike."""
    values = _uniform(f"input {tuple(shape)} {index} {step}", shape, -1.0, 1.0)
    for axis, size in enumerate(shape):
        along = np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        values = values * (1.0 + 0.125 * along) + 0.1875 * (along - axis * 0.5)
    return np.clip(np.round(values * GRID) / GRID, -7.9375, 7.9375)


def make_weights(shape: Sequence[int], index: int) -> Any:
    """The fixed weights of the loss, so that each output element has its own gradient."""
    return _uniform(f"weights {tuple(shape)} {index}", shape, -2.0, 2.0)


def make_state(name: str, shape: Sequence[int]) -> Any:
    """A value of its own for each variable; variances and deviations are positive."""
    if "variance" in name:
        return _uniform(name, shape, 0.3, 2.5)
    if "stddev" in name:
        return _uniform(name, shape, 0.6, 1.6)
    if "gamma" in name:
        return _uniform(name, shape, 0.5, 1.75)
    return _uniform(name, shape, -1.0, 1.0)
