# SPDX-License-Identifier: Apache-2.0
"""How two arrays differ: numbers, where, and whether a tolerance allows it. NumPy only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Difference(NamedTuple):
    """The greatest absolute and relative difference, each with its index and both values.

    `error` is the greatest of the absolute differences, each divided by its `scale`, the size of
    the numbers the arithmetic worked on: a norm-wise relative error, that does not demand of an
    element digits which cancellation has taken from it. It is infinite where shapes or non-finite
    values differ.
    """

    error: float
    scale: float
    absolute: float
    absolute_at: tuple[int, ...]
    relative: float
    relative_at: tuple[int, ...]
    expected: float
    actual: float
    unequal: int
    size: int
    remark: str = ""


def difference(expected: Any, actual: Any, scale: Any = None) -> Difference:
    """Returns how `actual` differs from `expected`, in float64.

    Args:
      expected: an array of numbers.
      actual: likewise.
      scale: what absolute differences are divided by: a number, or an array that fits the others,
        such as one number a channel. The greatest absolute finite value of `expected` if None.
        Where it is no positive number it counts as 1.
    """
    expected, actual = np.asarray(expected), np.asarray(actual)
    if expected.shape != actual.shape:
        return _incomparable(f"shape {list(actual.shape)} instead of {list(expected.shape)}")
    e, a = expected.astype("float64"), actual.astype("float64")
    finite = np.isfinite(e)
    if scale is None:
        scale = float(np.abs(e[finite]).max()) if finite.any() else 0.0
    sizes = np.broadcast_to(np.asarray(scale, "float64"), e.shape)
    sizes = np.where((sizes > 0) & np.isfinite(sizes), sizes, 1.0)
    same = (e == a) | (np.isnan(e) & np.isnan(a))
    odd = (~finite | ~np.isfinite(a)) & ~same
    if odd.any():
        first = tuple(int(i) for i in np.argwhere(odd)[0])
        remark = f"{a[first]} instead of {e[first]} at {list(first)}"
        return _incomparable(remark)._replace(
            absolute_at=first,
            expected=float(e[first]),
            actual=float(a[first]),
            unequal=int((~same).sum()),
            size=e.size,
        )
    if same.all():
        return Difference(0.0, 1.0, 0.0, (), 0.0, (), np.nan, np.nan, 0, e.size)
    absolute = np.where(same, 0.0, np.abs(np.where(same, 0.0, a - e)))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(same, 0.0, absolute / np.abs(e))
    worst, worst_relative = _argmax(absolute), _argmax(relative)
    judged = _argmax(absolute / sizes)
    return Difference(
        error=float(absolute[judged] / sizes[judged]),
        scale=float(sizes[judged]),
        absolute=float(absolute[worst]),
        absolute_at=worst,
        relative=float(relative[worst_relative]),
        relative_at=worst_relative,
        expected=float(e[worst]),
        actual=float(a[worst]),
        unequal=int((~same).sum()),
        size=e.size,
    )


def _argmax(values: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))


def _incomparable(remark: str) -> Difference:
    nothing = float("nan")
    infinite = float("inf")
    return Difference(infinite, 1.0, infinite, (), infinite, (), nothing, nothing, 0, 0, remark)
