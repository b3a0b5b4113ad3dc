"""Gradients of a weighted sum of the outputs with respect to inputs, gamma and beta."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.test_values import RUNNING, differences_of


@pytest.mark.parametrize("name", RUNNING)
def test_gradients_are_those_of_tf_1_15(name: str, candidate: Any, outcome_of: Any) -> None:
    found = differences_of(name, candidate, outcome_of)
    assert "gradients" not in found, found["gradients"]
