# SPDX-License-Identifier: Apache-2.0
"""Constraints by name or config, with the numbers that Keras gave them in TF1."""

from __future__ import annotations

from typing import Any

from ..runtime.tensorflow_v1 import Tensor, tf
from .by_name import resolve_named

_EPSILON = 1e-7


class Constraint:
    """Leaves a variable as it is."""

    def __call__(self, w: Any) -> Any:
        return w

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return dict(vars(self))


class NonNeg(Constraint):
    """Sets negative values of a variable to 0."""

    def __call__(self, w: Any) -> Tensor:
        return w * tf.cast(tf.greater_equal(w, 0.0), w.dtype.base_dtype)


class MinMaxNorm(Constraint):
    """Moves the norm of a variable along `axis` into [min_value, max_value].

    Args:
      min_value: the smallest norm.
      max_value: the largest norm.
      rate: the part of the way that one step goes.
      axis: an int or a list of ints that the squares are summed over.
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Tensor:
        norm = _norm(w, self.axis)
        clipped = tf.clip_by_value(norm, float(self.min_value), float(self.max_value))
        wanted = self.rate * clipped + (1 - self.rate) * norm
        return w * (wanted / (_EPSILON + norm))


class MaxNorm(Constraint):
    """Moves the norm of a variable along `axis` to at most `max_value`."""

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Tensor:
        norm = _norm(w, self.axis)
        return w * (tf.clip_by_value(norm, 0.0, float(self.max_value)) / (_EPSILON + norm))


class UnitNorm(Constraint):
    """Divides a variable by its norm along `axis`."""

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Tensor:
        return w / (_EPSILON + _norm(w, self.axis))


_NAMED = {
    "Constraint": Constraint,
    **dict.fromkeys(("NonNeg", "non_neg", "nonneg"), NonNeg),
    **dict.fromkeys(("MaxNorm", "max_norm", "maxnorm"), MaxNorm),
    **dict.fromkeys(("UnitNorm", "unit_norm", "unitnorm"), UnitNorm),
    **dict.fromkeys(("MinMaxNorm", "min_max_norm"), MinMaxNorm),
}


def resolve_constraint(argument: str, given: Any) -> Any:
    """Turns a name or config into a constraint; callables and None stay.

    Raises:
      ValueError: an unknown name, or nothing a constraint can be made of.
      TypeError: the config does not fit.
    """
    return resolve_named(argument, "constraint", given, _NAMED)


def _norm(w: Any, axis: Any) -> Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(w), axis=axis, keepdims=True))
