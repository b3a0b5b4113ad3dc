"""The first derivatives of `reference.py`, in closed form in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests.properties.reference import (
    Norm,
    _back,
    _correction,
    _epsilon,
    _flat,
    _rows,
)


class Slopes(NamedTuple):
    """Of sum(outputs * upstream), along the inputs, gamma and beta; the latter as vectors."""

    inputs: Any
    gamma: Any
    beta: Any


def slopes(norm: Norm, x: Any, state: dict, upstream: Any, training: bool) -> Slopes:
    """Renorm's correction takes no gradient; moving statistics are constants."""
    rows, dy, state = _rows(norm, x), _rows(norm, upstream), _flat(state)
    epsilon = _epsilon(norm)
    r, d = (1.0, 0.0)
    scale, bias = norm.adjustment if norm.adjustment is not None and training else (1.0, 0.0)
    groups = [slice(None)]
    if training and norm.ghost is not None:
        count = rows.shape[0] // norm.ghost
        groups = [slice(first, None, count) for first in range(count)]
    mean, variance = state["moving_mean"], state["moving_variance"]
    if training:
        of_group = [(rows[g].mean((0, 1)), rows[g].var((0, 1))) for g in groups]
        if norm.renorm:
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
