# SPDX-License-Identifier: Apache-2.0
"""The rows of a report: two values of one aspect compared, with a verdict. NumPy only."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import numpy as np

from .differences import Difference, difference
from .tolerances import EXACT, Tolerance

SAME, DIFFERENT, NOT_COMPARED = "same", "different", "not compared"
# Before a layer's name it makes the name of the section on what the layer is made of.
STRUCTURE_OF = "structure of "


class Row(NamedTuple):
    """One aspect at one step: what was expected, what came, and the verdict.

    found, tolerance: only where numbers were compared. remark: why it was not, and the like.
    """

    aspect: str
    step: str
    verdict: str
    expected: str = ""
    actual: str = ""
    found: Difference | None = None
    tolerance: Tolerance | None = None
    remark: str = ""

    @property
    def ratio(self) -> float:
        """The error as a multiple of what is allowed; NaN where no numbers were compared."""
        if self.found is None or self.tolerance is None:
            return math.nan
        if self.found.error == 0:
            return 0.0
        allowed = self.tolerance.error
        return self.found.error / allowed if allowed else math.inf

    def numbers(self) -> tuple[str, str, str, str]:
        """Both differences with their places, the error, and what is allowed; "" for no numbers."""
        if self.found is None or self.tolerance is None:
            return "", "", "", ""
        found = self.found
        return (
            _placed(found.absolute, found.absolute_at),
            _placed(found.relative, found.relative_at),
            f"{found.error:.2g}",
            f"{self.tolerance.error:.2g}",
        )


def number_row(
    aspect: str, step: str, expected: Any, actual: Any, allowed: Tolerance, scale: Any = None
) -> Row:
    """Compares two arrays of numbers; a missing one (None) is a difference.

    `scale` is what `difference` divides by.
    """
    theirs, ours = ("missing" if v is None else summary(v) for v in (expected, actual))
    if expected is None or actual is None:
        return Row(aspect, step, DIFFERENT, theirs, ours)
    found = difference(expected, actual, scale)
    verdict = SAME if found.error <= allowed.error else DIFFERENT
    return Row(aspect, step, verdict, theirs, ours, found, allowed, found.remark)


def exact_row(aspect: str, expected: Any, actual: Any, step: str = "") -> Row:
    """Compares two plain values, which must be equal.

    >>> exact_row("trainable", True, False).verdict
    'different'
    """
    verdict = SAME if expected == actual else DIFFERENT
    return Row(aspect, step, verdict, _text(expected), _text(actual))


def still_row(aspect: str, step: str, before: Any, after: Any) -> Row:
    """Compares two arrays that must be equal bit for bit."""
    return number_row(aspect, step, before, after, EXACT)


def skipped_row(aspect: str, reason: str, step: str = "") -> Row:
    """An aspect that was not compared, and why."""
    return Row(aspect, step, NOT_COMPARED, remark=reason)


def raised_row(aspect: str, step: str, error: BaseException) -> Row:
    """The candidate raised what the reference does not."""
    return Row(aspect, step, DIFFERENT, "no error", error_text(error))


def error_text(error: BaseException) -> str:
    """Returns an exception's type and the first line of what it says.

    >>> error_text(ValueError("no such axis"))
    'ValueError: no such axis'
    """
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"


def summary(values: Any) -> str:
    """Returns an array in a few characters: its shape and the range of its values.

    >>> summary([[1.0, -2.0]])
    '[1, 2] -2..1'
    """
    array = np.asarray(values)
    if array.size == 0:
        return f"{list(array.shape)} empty"
    if array.size == 1:
        return f"{float(array.reshape(-1)[0]):.7g}"
    wide = array.astype("float64")
    return f"{list(array.shape)} {wide.min():.4g}..{wide.max():.4g}"


def _placed(value: float, place: tuple[int, ...]) -> str:
    return f"{value:.3g} at {list(place)}" if place else f"{value:.3g}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
