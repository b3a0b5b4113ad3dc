"""The comparisons themselves: each wrong thing they exist for is seen."""

from __future__ import annotations

import copy
from typing import Any, Callable

import numpy as np
import pytest

from tests.conformance.cases import CASES
from tests.conformance.compare import Golden, golden, number_differences, structure_differences
from tests.conformance.goldens_io import load_group, save_npz
from tests.tolerances import error_of, tolerance

CASE = CASES["7x5-training=placeholder"]
SCOPE = "batch_normalization/"


def _swap_parameters(s: dict) -> None:
    s["variables"][0], s["variables"][1] = s["variables"][1], s["variables"][0]


def _swap_updates(s: dict) -> None:
    first, second = s["updates"]
    first["writes"], second["writes"] = second["writes"], first["writes"]


def _trainable_statistic(s: dict) -> None:
    s["variables"][2]["trainable"] = True


def _other_name(s: dict) -> None:
    s["outputs"][0]["name"] = s["outputs"][0]["name"].replace("add_1", "add_2")


def _other_shape(s: dict) -> None:
    s["outputs"][0]["shape"] = [None, 5]


def _extra_loss(s: dict) -> None:
    s["losses"].append("surprise:0")


def _twice_in_the_collection(s: dict) -> None:
    s["updates"].append(s["updates"][0])


@pytest.mark.parametrize("change, aspect", [
    (_swap_parameters, "variables"), (_trainable_statistic, "variables"),
    (_swap_updates, "updates"), (_twice_in_the_collection, "updates"),
    (_other_name, "output_names"), (_other_shape, "output_types"), (_extra_loss, "losses"),
])  # fmt: skip
def test_a_changed_structure_is_seen(change: Callable, aspect: str) -> None:
    right = golden(CASE).structure
    wrong = copy.deepcopy(right)
    change(wrong)
    assert not structure_differences(right, right, CASE, v2=False)
    assert set(structure_differences(right, wrong, CASE, v2=False)) == {aspect}


def _numbers(change: Callable) -> dict:
    right: Golden = golden(CASE)
    wrong: Any = {key: value.copy() for key, value in right.numbers.items()}
    change(wrong)
    return number_differences(right.numbers, wrong, right.dtype)


def test_equal_numbers_do_not_differ() -> None:
    assert not _numbers(lambda n: None)


def test_swapped_statistics_are_seen() -> None:
    def swap(n: dict) -> None:
        a, b = f"step 0T/{SCOPE}moving_mean", f"step 0T/{SCOPE}moving_variance"
        n[a], n[b] = n[b], n[a]

    assert set(_numbers(swap)) == {"state"}


def test_the_other_kernels_variance_is_seen() -> None:
    """Bessel's correction of one step with momentum 0.99 is a difference in the fourth digit."""

    def bessel(n: dict) -> None:
        key = f"step 0T/{SCOPE}moving_variance"
        batch = n[key] * 0.01
        n[key] = n[key] + batch * (7 / 6 - 1)

    assert set(_numbers(bessel)) == {"state"}


def test_a_lost_gradient_is_seen() -> None:
    assert set(_numbers(lambda n: n.pop("gradient train/x0"))) == {"gradients"}


def test_one_wrong_element_is_seen() -> None:
    def one(n: dict) -> None:
        n["step 2I/output 0"][3, 2] += 1e-4

    assert set(_numbers(one)) == {"outputs"}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen(wrong: float) -> None:
    expected = np.arange(4.0)
    actual = expected.copy()
    actual[1] = wrong
    assert error_of(actual, expected) == float("inf")
    assert error_of(expected, actual) == float("inf")
    assert error_of(actual, actual) == 0.0


def test_another_shape_is_seen() -> None:
    assert error_of(np.zeros([1, 5]), np.zeros([5])) == float("inf")


def test_an_unknown_row_of_the_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        tolerance("output", "int32")


def test_equal_arrays_make_equal_files(tmp_path: Any) -> None:
    _, arrays = load_group("phase")
    some = dict(list(arrays.items())[:5])
    for name in ("one", "two"):
        save_npz(tmp_path / f"{name}.npz", some)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]
