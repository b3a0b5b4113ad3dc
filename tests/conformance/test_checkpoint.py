"""Checkpoints of the real layer restore into ours and ours into the real layer, unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.checkpoints import OURS, REAL, contents, read, write
from tests.conformance.runner import Candidate, real_layer
from tests.conftest import tensorflow
from tests.tolerances import assert_close

REAL_LAYER_HERE = pytest.mark.tf_max("2.15", reason="the real layer is gone with Keras 3")


def recorded(prefix: Path) -> dict:
    with np.load(str(prefix) + ".npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def assert_same_numbers(actual: dict, expected: dict) -> None:
    assert sorted(actual) == sorted(expected)
    for key, value in expected.items():
        quantity = "output" if " " in key else "state"
        assert_close(actual[key], value, quantity, "float32", what=key)


def scoped(function: Any, use_resource: bool) -> Any:
    tf = tensorflow()

    def call(*args: Any, **kwargs: Any) -> Any:
        with tf.variable_scope(tf.get_variable_scope(), use_resource=use_resource):
            return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("use_resource", [False, True])
def test_a_checkpoint_of_tf_1_15_restores(candidate: Candidate, use_resource: bool) -> None:
    function = scoped(candidate.function, use_resource)
    assert_same_numbers(read(REAL, function), recorded(REAL))


@pytest.mark.parametrize("use_resource", [False, True])
def test_keys_shapes_and_dtypes_are_those_of_tf_1_15(
    candidate: Candidate, use_resource: bool, tmp_path: Path
) -> None:
    write(tmp_path / "saved", scoped(candidate.function, use_resource))
    ours, real = contents(tmp_path / "saved"), contents(REAL)
    assert {k: (v.shape, v.dtype) for k, v in ours.items()} == {
        k: (v.shape, v.dtype) for k, v in real.items()
    }
    for key, value in real.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


@REAL_LAYER_HERE
def test_a_checkpoint_of_ours_restores_into_the_real_layer(
    candidate: Candidate, tmp_path: Path
) -> None:
    numbers = write(tmp_path / "saved", candidate.function)
    assert_same_numbers(read(tmp_path / "saved", real_layer().function), numbers)


@REAL_LAYER_HERE
def test_a_checkpoint_of_ours_from_the_newest_tf_restores_into_the_real_layer() -> None:
    assert_same_numbers(read(OURS, real_layer().function), recorded(OURS))


def test_a_checkpoint_of_ours_from_the_newest_tf_restores(candidate: Candidate) -> None:
    assert_same_numbers(read(OURS, candidate.function), recorded(OURS))
