"""Outputs, every variable after every step, and regularization losses against TF 1.15.5."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import CASES
from tests.conformance.compare import golden, number_differences
from tests.conformance.data import make_state
from tests.conformance.deviations import aspects_for
from tests.conformance.test_structure import expected_of

RUNNING = [
    name
    for name, case in CASES.items()
    if "error" not in golden(case).structure or case.like is not None
]
EMPTY = [name for name in RUNNING if 0 in CASES[name].shape]


def differences_of(name: str, candidate: Any, outcome_of: Any) -> dict:
    allowed = aspects_for(candidate.label, name)
    outcome, expected = outcome_of(name), expected_of(name, allowed)
    if not expected.numbers and not outcome.numbers:
        return {}
    assert "error" not in outcome.structure, outcome.structure["error"]["message"]
    found = number_differences(expected.numbers, outcome.numbers, expected.dtype)
    return {aspect: text for aspect, text in found.items() if aspect not in allowed}


@pytest.mark.parametrize("name", RUNNING)
def test_values_are_those_of_tf_1_15(name: str, candidate: Any, outcome_of: Any) -> None:
    found = differences_of(name, candidate, outcome_of)
    found.pop("gradients", None)
    assert not found, "\n".join(f"[{key}]\n{text}" for key, text in found.items())


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_batch_leaves_every_variable_as_it_was(
    name: str, is_ours: bool, outcome_of: Any
) -> None:
    if not is_ours:
        pytest.skip("TF 1.15.5 writes NaN into the moving statistics, which is the deviation")
    numbers = outcome_of(name).numbers
    states = {k: v for k, v in numbers.items() if k.startswith("step") and "output" not in k}
    assert states
    for key, value in states.items():
        own = make_state(key.split("/", 1)[1], value.shape)
        np.testing.assert_array_equal(value, own.astype(value.dtype), err_msg=key)
