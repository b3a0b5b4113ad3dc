# SPDX-License-Identifier: Apache-2.0
"""The one table of tolerances for numbers that two batch norms compute. No TensorFlow.

An error is the greatest absolute difference divided by the scale of the computation (see
`differences` and `recording.scales`). Each entry says how its number was found.
"""

from __future__ import annotations

from typing import NamedTuple


class Tolerance(NamedTuple):
    """The greatest error allowed, and how that number was found."""

    error: float
    derivation: str


EXACT = Tolerance(0.0, "nothing is computed, so nothing is rounded")

_MEASURED = (
    "greatest error of tf1_bn on 1.15.5, 2.15.1 and 2.21, oneDNN off and on, on CPU, against TF "
    "1.15.5, over 28 recorded calls with 9 to 100352 values a channel: "
)

# By quantity and dtype of the input; statistics are float32 also where inputs are shorter.
TABLE: dict[tuple[str, str], Tolerance] = {
    ("output", "float64"): Tolerance(1e-14, _MEASURED + "0; 1e-14 is 90 roundings"),
    ("gradient", "float64"): Tolerance(1e-14, _MEASURED + "3e-17; 1e-14 is 90 roundings"),
    ("state", "float64"): Tolerance(1e-14, _MEASURED + "0; 1e-14 is 90 roundings"),
    ("output", "float32"): Tolerance(2e-6, _MEASURED + "4e-7"),
    ("gradient", "float32"): Tolerance(2e-6, _MEASURED + "4e-7"),
    ("state", "float32"): Tolerance(2e-6, _MEASURED + "7e-7"),
    ("output", "float16"): Tolerance(4e-3, _MEASURED + "1.4e-3: TF 1.15 scales and shifts in half"),
    ("gradient", "float16"): Tolerance(4e-3, _MEASURED + "3e-4"),
    ("state", "float16"): Tolerance(2e-6, _MEASURED + "3e-7"),
    ("output", "bfloat16"): Tolerance(
        2e-2, _MEASURED + "2.5e-3: TF 1.15 scales and shifts in half"
    ),
    ("gradient", "bfloat16"): Tolerance(2e-2, _MEASURED + "1.7e-3"),
    ("state", "bfloat16"): Tolerance(2e-6, _MEASURED + "3e-7"),
}


def tolerance(quantity: str, dtype: str) -> Tolerance:
    """Returns the entry for `quantity` ("output", "gradient" or "state") of inputs of `dtype`.

    Raises:
      KeyError: the table has no such entry.
    """
    return TABLE[quantity, dtype]
