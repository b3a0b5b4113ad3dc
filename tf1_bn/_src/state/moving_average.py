# SPDX-License-Identifier: Apache-2.0
"""The update ops of the moving statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..plan.spec import is_number
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, scalar, tf
from .variable_kinds import assign, beside, check_assignable, read, subtract, value_of


class MovingAverage(NamedTuple):
    """One pending update: `variable` moves towards `value` by the fraction `rate`.

    `old` is what it holds, if that has been read already.
    """

    variable: Variable
    value: Tensor
    rate: Any
    old: Tensor | None = None


def update_rate(momentum: Any, dtype: Any, fused: bool) -> Tensor:
    """1 - momentum in `dtype`, rounded through float32 exactly as TF1 does for each kernel."""
    dtype = tf.as_dtype(dtype)
    if not is_number(momentum):
        return tf.cast(1.0 - tf.cast(momentum, tf.float32), dtype, name="update_rate")
    wide = 1.0 - float(momentum)
    rate = np.float32(1.0) - np.float32(momentum) if fused else np.float32(wide)
    return tf.constant(float(rate), dtype, name="update_rate")


def rate_where(active: Tensor | None, rate: Tensor) -> Tensor:
    """`rate`, or 0 where the bool scalar `active` is False; None counts as always active."""
    return rate if active is None else tf.where(active, rate, tf.zeros_like(rate))


def move(average: MovingAverage, fresh: bool = False) -> Operation:
    """variable -= (variable - value) * rate, beside the variable, named `AssignMovingAvg`.

    Subtracting instead of assigning lets concurrent writers add up.

    Args:
      average: what to move where.
      fresh: read the variable when the op runs, after what the op waits for, instead of sharing
        the graph's one read of it.
    """
    variable = check_assignable(average.variable)
    with tf.name_scope("AssignMovingAvg") as scope, beside(variable):
        old = average.old
        if fresh:
            old = read(variable)
        elif old is None:
            old = value_of(variable)
        delta = (old - tf.cast(average.value, old.dtype)) * average.rate
        return subtract(variable, delta, scope)


def assign_variance(
    moving_variance: Variable, moving_stddev: Variable, epsilon: Any, active: Tensor | None
) -> Operation:
    """moving_variance = relu(moving_stddev ** 2 - epsilon), named `AssignNewValue`.

    Must run after the update of moving_stddev, which it reads anew. Where `active` is False the
    variance keeps its value.
    """
    variable = check_assignable(moving_variance)
    with tf.name_scope("AssignNewValue") as scope, beside(variable):
        stddev = read(moving_stddev)
        value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))
        if active is not None:
            value = tf.where(active, value, read(variable))
        return assign(variable, value, scope)
