"""The one table of the tests' tolerances. No test states a number of its own.

The package has another, `tf1_bn/_src/proof/report/tolerances.py`, since recordings hold numbers of
any size: its errors are divided by the size of the terms in each channel, and mean other things.

An error is the greatest absolute difference, divided by the greatest absolute expected value (at
least 1, since every input, weight and state here is of order 1): a norm-wise relative error, which
does not demand digits that cancellation has taken from a single element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tf1_bn._src.proof.report.differences import difference
from tf1_bn._src.proof.report.tolerances import Tolerance

# (quantity, dtype of the input, kernel pair): "same" compares a kernel with itself across
# TensorFlow versions, "cross" two different kernels.
# Measured with tests/conformance/measure.py against the goldens of TF 1.15.5. TF 1.15.5 itself
# gives exactly 0 everywhere, so the differences are those of the later releases' kernels: the real
# layer on 2.15.1 and on 2.21 with tf_keras, oneDNN off, which agree to the printed digits; and
# tf1_bn on 2.21 with oneDNN on, named where it is greater.
TABLE: dict = {
    ("rounding", "float16", "same"): Tolerance(2.0**-11, "half a unit in the last of 11 bits"),
    ("rounding", "bfloat16", "same"): Tolerance(2.0**-8, "half a unit in the last of 8 bits"),
    # tests/properties: one step of a layer against float64 NumPy, 12 random examples of 29 layers,
    # greatest of TF 1.15.5, 2.15.1 and 2.21; derivatives against differences of NumPy's own loss.
    ("output", "float64", "NumPy"): Tolerance(4e-14, "7.1e-15; times 6"),
    ("state", "float64", "NumPy"): Tolerance(5e-15, "8.4e-16; times 6"),
    ("output", "float32", "NumPy"): Tolerance(4e-6, "7.7e-7; times 5"),
    ("state", "float32", "NumPy"): Tolerance(1.5e-6, "2.8e-7; times 5"),
    ("invariance", "float64", "NumPy"): Tolerance(
        3e-12, "3.3e-13, rounding of channels a thousand times as far as wide; times 9"
    ),
    # tests/properties/combinations.py against float64 NumPy, greatest of --full and
    # --large on TF 1.15.5, 2.15.1 and 2.21. Half precision is rounded once, at the end.
    ("output", "float16", "combination"): Tolerance(2e-3, "6.7e-4; times 3"),
    ("gradient", "float16", "combination"): Tolerance(2e-3, "6.4e-4; times 3"),
    ("state", "float16", "combination"): Tolerance(2e-6, "as float32"),
    ("output", "bfloat16", "combination"): Tolerance(1e-2, "3.5e-3; times 3"),
    ("gradient", "bfloat16", "combination"): Tolerance(1.5e-2, "4.5e-3; times 3"),
    ("state", "bfloat16", "combination"): Tolerance(2e-6, "as float32"),
    ("output", "float32", "combination"): Tolerance(4e-6, "6.7e-7; times 6"),
    ("gradient", "float32", "combination"): Tolerance(1e-5, "1.9e-6; times 5"),
    ("state", "float32", "combination"): Tolerance(2e-6, "3.2e-7; times 6"),
    ("output", "float64", "combination"): Tolerance(1e-14, "1.4e-15; times 7"),
    ("gradient", "float64", "combination"): Tolerance(5e-14, "8e-15; times 6"),
    ("state", "float64", "combination"): Tolerance(5e-15, "7.9e-16; times 6"),
    ("output", "float16", "large combination"): Tolerance(2e-3, "4.5e-4; times 4"),
    ("gradient", "float16", "large combination"): Tolerance(2e-3, "4.8e-4; times 4"),
    ("state", "float16", "large combination"): Tolerance(3e-5, "as float32"),
    ("output", "bfloat16", "large combination"): Tolerance(1e-2, "3.5e-3; times 3"),
    ("gradient", "bfloat16", "large combination"): Tolerance(1.5e-2, "3.2e-3; times 4"),
    ("state", "bfloat16", "large combination"): Tolerance(
        2e-4, "5.3e-5, how TF 1.15's own op sums 80 000 squares in float32; times 4"
    ),
    ("output", "float32", "large combination"): Tolerance(
        3e-5, "6.9e-6, sums of up to 1.4e5 terms; times 4"
    ),
    ("gradient", "float32", "large combination"): Tolerance(4e-5, "1.1e-5; times 4"),
    ("state", "float32", "large combination"): Tolerance(3e-5, "8.7e-6; times 3"),
    ("output", "float64", "large combination"): Tolerance(4e-14, "8.1e-15; times 5"),
    ("gradient", "float64", "large combination"): Tolerance(2e-13, "3.3e-14; times 6"),
    ("state", "float64", "large combination"): Tolerance(2e-14, "3.9e-15; times 5"),
    ("output", "float32", "cross"): Tolerance(5e-6, "1e-6, fused against composed; times 5"),
    ("state", "float32", "cross"): Tolerance(2e-6, "3.6e-7, fused against composed; times 5"),
    # tests/graph/test_xla.py: compiled against not, 9 layers, and NumPy.
    ("output", "float32", "XLA"): Tolerance(2e-6, "3.4e-7; times 6"),
    ("gradient", "float32", "XLA"): Tolerance(6e-6, "1e-6; times 6"),
    ("state", "float32", "XLA"): Tolerance(1e-6, "1.6e-7; times 6"),
    # tests/distribute: shards against the whole batch in NumPy; "far" has mean 1000, deviation 0.5.
    ("output", "float64", "merged"): Tolerance(6e-15, "6.2e-16; times 10"),
    ("gradient", "float64", "merged"): Tolerance(1e-14, "1.3e-15; times 8"),
    ("state", "float64", "merged"): Tolerance(3e-14, "3.7e-15; times 8"),
    ("output", "float32", "merged"): Tolerance(
        5e-6, "1.1e-7, two layers with a square between 8.7e-7; times 6"
    ),
    ("gradient", "float32", "merged"): Tolerance(5e-6, "5.7e-7; times 9"),
    ("state", "float32", "merged"): Tolerance(1e-6, "1.1e-7; times 9"),
    ("output", "float64", "merged, far"): Tolerance(
        4e-13, "4.6e-14, rounding of inputs 2000 deviations away; times 9"
    ),
    ("gradient", "float64", "merged, far"): Tolerance(
        2e-12, "3.2e-13, as the outputs, times the sum of 14 rows; times 6"
    ),
    ("state", "float64", "merged, far"): Tolerance(3e-14, "3.2e-15; times 9"),
    ("output", "float32", "merged, far"): Tolerance(
        3e-4, "5.3e-5, a last place of 1000 is 1.2e-4 deviations; times 6"
    ),
    ("gradient", "float32", "merged, far"): Tolerance(1.5e-3, "2.6e-4, as the outputs; times 6"),
    ("state", "float32", "merged, far"): Tolerance(5e-6, "6.9e-7; times 7"),
    ("output", "float64", "NumPy any"): Tolerance(4e-14, "3.4e-15; times 12"),
    ("state", "float64", "NumPy any"): Tolerance(
        1e-7, "1e-9, as 1 - momentum is rounded through float32; a unit of float32"
    ),
    ("output", "float32", "NumPy any"): Tolerance(
        2e-5, "3e-6, sizes down to 2 values a channel; times 7"
    ),
    ("state", "float32", "NumPy any"): Tolerance(1.5e-6, "1.4e-7; times 10"),
    ("finite difference", "float64", "NumPy"): Tolerance(
        3e-9, "3.5e-10, all of it the five-point difference's truncation; times 9"
    ),
    ("second difference", "float64", "NumPy"): Tolerance(
        3e-6, "4.7e-7, the rounding of a loss divided by the step squared, 4e-8; times 6"
    ),
    ("finite difference", "float32", "NumPy"): Tolerance(1e-4, "1.5e-5; times 7"),
    ("second difference", "float32", "NumPy"): Tolerance(1.5e-4, "2.1e-5; times 7"),
    ("finite difference", "float64", "same"): Tolerance(
        1e-7, "central difference with step 1e-5: 1e-10 of truncation, 1e-11 of rounding, times 100"
    ),
    ("finite difference", "float32", "same"): Tolerance(
        2e-2, "central difference with step 1e-2: 1e-4 of truncation, 1e-5 of rounding, times 100"
    ),
    ("output", "float32", "same"): Tolerance(
        2e-6, "9.5e-7 where every axis is a channel, 2.3e-7 elsewhere; doubled"
    ),
    ("gradient", "float32", "same"): Tolerance(4e-6, "4.8e-7, with oneDNN 6e-7; times 7"),
    ("gradient", "float32", "live"): Tolerance(
        4e-5, "2.1e-5 in one of 150 random states of 10 graphs of TF 1.15.5, run live; times 2"
    ),
    ("output", "float32", "large"): Tolerance(
        4e-6, "1.2e-6 where sums have up to 2e4 terms; times 3"
    ),
    ("gradient", "float32", "large"): Tolerance(
        2e-5, "6e-6 where sums have up to 2e4 terms; times 3"
    ),
    ("state", "float16", "large"): Tolerance(4e-6, "as float32"),
    ("state", "bfloat16", "large"): Tolerance(
        2e-4, "5.8e-5, how TF 1.15's own op sums 4000 squares in float32; times 3"
    ),
    ("state", "float32", "large"): Tolerance(
        4e-6, "1.2e-6 where sums have up to 2e4 terms; times 3"
    ),
    ("state", "float32", "same"): Tolerance(1e-6, "8.9e-8, with oneDNN 2.1e-7; times 5"),
    ("state", "float32", "free running"): Tolerance(
        2e-5, "2.8e-6 after 10 steps of training, most of it the ghosts' last digits; times 7"
    ),
    ("loss", "float32", "same"): Tolerance(1e-6, "0; eight units in the last place of float32"),
    ("output", "float64", "same"): Tolerance(
        1e-14, "1e-16; times 100, still a millionth of a float32 rounding"
    ),
    ("gradient", "float64", "same"): Tolerance(
        1e-14, "1.7e-16; times 60, still a millionth of a float32 rounding"
    ),
    ("state", "float64", "same"): Tolerance(
        1e-14, "0; times 45 of float64's unit, a millionth of a float32 rounding"
    ),
    ("output", "float16", "same"): Tolerance(
        4e-3, "1.1e-3, as 1.15.5 does the affine step in half; four units of 2**-10"
    ),
    ("gradient", "float16", "same"): Tolerance(
        4e-3, "1.9e-3, as 1.15.5 does the affine step in half; four units of 2**-10"
    ),
    ("state", "float16", "same"): Tolerance(1e-6, "0, statistics are float32; as for float32"),
    ("output", "bfloat16", "same"): Tolerance(
        2e-2, "1.1e-2, as 1.15.5 does the affine step in half; 2.5 units of 2**-7"
    ),
    ("gradient", "bfloat16", "same"): Tolerance(
        2e-2, "9.1e-3, as 1.15.5 does the affine step in half; 2.5 units of 2**-7"
    ),
    ("state", "bfloat16", "same"): Tolerance(1e-6, "0, statistics are float32; as for float32"),
}


def tolerance(quantity: str, dtype: str, kernels: str = "same") -> Tolerance:
    return TABLE[quantity, dtype, kernels]


def error_of(actual: Any, expected: Any) -> float:
    """The norm-wise relative error; infinite where shapes or non-finite values differ."""
    sizes = np.abs(np.asarray(expected).astype("float64"))
    scale = max(1.0, sizes[np.isfinite(sizes)].max(initial=0.0))
    return difference(expected, actual, scale).error


def assert_close(actual: Any, expected: Any, quantity: str, dtype: str,
                 kernels: str = "same", what: str = "") -> None:  # fmt: skip
    allowed = tolerance(quantity, dtype, kernels)
    found = error_of(actual, expected)
    assert found <= allowed.error, (
        f"{what or quantity}: error {found:.3g} exceeds {allowed.error:.3g} "
        f"({quantity}, {dtype}, {kernels} kernel; {allowed.derivation})\n"
        f"expected {np.asarray(expected).ravel()[:8]}\nactual   {np.asarray(actual).ravel()[:8]}"
    )
