# SPDX-License-Identifier: Apache-2.0
"""The update ops of the moving statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._compat import Operation, Tensor, Variable, as_operation, scalar, tf
from .spec import is_number


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
    variable = _assignable(average.variable)
    with tf.name_scope("AssignMovingAvg") as scope, _beside(variable):
        old = average.old
        if fresh:
            old = variable.read_value()
        elif old is None:
            old = tf.convert_to_tensor(variable)
        delta = (old - tf.cast(average.value, old.dtype)) * average.rate
        name = _name(variable, scope)
        # Without the lock concurrent writers lose parts of each other's steps on a ref variable.
        update = variable.assign_sub(delta, use_locking=True, name=name, read_value=False)
        return as_operation(update)


def assign_variance(
    moving_variance: Variable, moving_stddev: Variable, epsilon: Any, active: Tensor | None
) -> Operation:
    """moving_variance = relu(moving_stddev ** 2 - epsilon), named `AssignNewValue`.

    Must run after the update of moving_stddev, which it reads anew. Where `active` is False the
    variance keeps its value.
    """
    variable = _assignable(moving_variance)
    with tf.name_scope("AssignNewValue") as scope, _beside(variable):
        stddev = moving_stddev.read_value()
        value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))
        if active is not None:
            value = tf.where(active, value, variable.read_value())
        return as_operation(variable.assign(value, name=scope, read_value=False))


def _name(variable: Variable, scope: str) -> str | None:
    # A resource variable names its assignment below the scope, as in TF1.
    return None if variable.dtype == variable.dtype.base_dtype else scope


def _assignable(variable: Variable) -> Variable:
    if not hasattr(variable, "assign_sub"):
        raise TypeError(
            f"a moving statistic must be a variable to be updated in training (got {variable!r}): "
            "let the custom getter return the variable, or call with `training=False`."
        )
    return variable


def _beside(variable: Variable) -> Any:
    return tf.get_default_graph().colocate_with(variable)
