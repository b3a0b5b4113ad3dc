"""The one table of tolerances. No test states a number of its own.

An error is the greatest absolute difference, divided by the greatest absolute expected value (at
least 1, since every input, weight and state here is of order 1): a norm-wise relative error, which
does not demand digits that cancellation has taken from a single element.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Tolerance(NamedTuple):
    """The greatest error allowed, and how that number was found."""

    error: float
    derivation: str


# (quantity, dtype of the input, kernel pair): "same" compares a kernel with itself across
# TensorFlow versions, "cross" two different kernels.
_PROVISIONAL = "provisional"
TABLE: dict = {
    ("rounding", "float16", "same"): Tolerance(2.0**-11, "half a unit in the last of 11 bits"),
    ("rounding", "bfloat16", "same"): Tolerance(2.0**-8, "half a unit in the last of 8 bits"),
    ("finite difference", "float64", "same"): Tolerance(
        1e-7, "central difference with step 1e-5: 1e-10 of truncation, 1e-11 of rounding, times 100"
    ),
    ("finite difference", "float32", "same"): Tolerance(
        2e-2, "central difference with step 1e-2: 1e-4 of truncation, 1e-5 of rounding, times 100"
    ),
    ("output", "float32", "same"): Tolerance(2e-6, _PROVISIONAL),
    ("gradient", "float32", "same"): Tolerance(4e-6, _PROVISIONAL),
    ("state", "float32", "same"): Tolerance(1e-6, _PROVISIONAL),
    ("loss", "float32", "same"): Tolerance(1e-6, _PROVISIONAL),
    ("output", "float64", "same"): Tolerance(1e-14, _PROVISIONAL),
    ("gradient", "float64", "same"): Tolerance(1e-14, _PROVISIONAL),
    ("state", "float64", "same"): Tolerance(1e-14, _PROVISIONAL),
    ("output", "float16", "same"): Tolerance(4e-3, _PROVISIONAL),
    ("gradient", "float16", "same"): Tolerance(4e-3, _PROVISIONAL),
    ("state", "float16", "same"): Tolerance(1e-6, _PROVISIONAL),
    ("output", "bfloat16", "same"): Tolerance(2e-2, _PROVISIONAL),
    ("gradient", "bfloat16", "same"): Tolerance(2e-2, _PROVISIONAL),
    ("state", "bfloat16", "same"): Tolerance(1e-6, _PROVISIONAL),
}


def tolerance(quantity: str, dtype: str, kernels: str = "same") -> Tolerance:
    return TABLE[quantity, dtype, kernels]


def error_of(actual: Any, expected: Any) -> float:
    """The norm-wise relative error; infinite where shapes or non-finite values differ."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return float("inf")
    if actual.size == 0:
        return 0.0
    a, e = actual.astype("float64"), expected.astype("float64")
    finite = np.isfinite(e)
    if not np.array_equal(finite, np.isfinite(a)) or not np.array_equal(
        np.isnan(a), np.isnan(e)
    ):
        return float("inf")
    if not np.array_equal(a[~finite & ~np.isnan(e)], e[~finite & ~np.isnan(e)]):
        return float("inf")
    if not finite.any():
        return 0.0
    return float(np.abs(a[finite] - e[finite]).max() / max(1.0, np.abs(e[finite]).max()))


def assert_close(actual: Any, expected: Any, quantity: str, dtype: str,
                 kernels: str = "same", what: str = "") -> None:  # fmt: skip
    allowed = tolerance(quantity, dtype, kernels)
    found = error_of(actual, expected)
    assert found <= allowed.error, (
        f"{what or quantity}: error {found:.3g} exceeds {allowed.error:.3g} "
        f"({quantity}, {dtype}, {kernels} kernel; {allowed.derivation})\n"
        f"expected {np.asarray(expected).ravel()[:8]}\nactual   {np.asarray(actual).ravel()[:8]}"
    )
