# SPDX-License-Identifier: Apache-2.0
"""Regularizers by name or config, with the numbers that Keras gave them in TF1."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

from ..runtime.tensorflow_v1 import Tensor, tf
from .by_name import resolve_named


class L1L2:
    """`l1 * sum(|x|) + l2 * sum(x^2)` of a variable, a scalar of its dtype.

    Args:
      l1: factor of the absolute values, rounded to float32 as in TF1.
      l2: factor of the squares, likewise.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = float(np.float32(l1))
        self.l2 = float(np.float32(l2))

    def __call__(self, x: Any) -> Tensor:
        if not self.l1 and not self.l2:
            return tf.constant(0.0)
        # Begun with a number, so that the loss has the name that TF1 gave it.
        total: Any = 0.0
        if self.l1:
            total += self.l1 * tf.reduce_sum(tf.abs(x))
        if self.l2:
            total += self.l2 * tf.reduce_sum(tf.square(x))
        return total

    def get_config(self) -> dict[str, float]:
        """The arguments."""
        return {"l1": self.l1, "l2": self.l2}


def _l1(l: float = 0.01) -> L1L2:  # noqa: E741, the key in Keras' configs
    return L1L2(l1=l)


def _l2(l: float = 0.01) -> L1L2:  # noqa: E741
    return L1L2(l2=l)


def _l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    return L1L2(l1, l2)


# The capital ones stand in configs that TF1 (L1L2) and later Keras (L1, L2) wrote.
_NAMED: Mapping[str, Callable[..., Any]] = {
    "L1L2": L1L2,
    "l1": _l1,
    "l2": _l2,
    "l1_l2": _l1_l2,
    "L1": lambda l1=0.01: L1L2(l1=l1),
    "L2": lambda l2=0.01: L1L2(l2=l2),
}


def resolve_regularizer(argument: str, given: Any) -> Any:
    """Turns a name or config into a regularizer; callables and None stay.

    Raises:
      ValueError: an unknown name, or nothing a regularizer can be made of.
      TypeError: the config does not fit.
    """
    return resolve_named(argument, "regularizer", given, _NAMED)
