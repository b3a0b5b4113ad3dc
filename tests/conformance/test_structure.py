"""Variables, update ops, outputs, losses and errors, exactly as TF 1.15.5 made them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.cases import CASES
from tests.conformance.compare import Golden, golden, instead_of, structure_differences
from tests.conformance.deviations import aspects_for


def expected_of(name: str, allowed: set) -> Golden:
    """What the record says, or where TF 1.15.5 fails without need, what works instead."""
    return instead_of(CASES[name]) if "instead" in allowed else golden(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_structure_is_that_of_tf_1_15(name: str, candidate: Any, outcome_of: Any) -> None:
    allowed = aspects_for(candidate.label, name)
    want, have = expected_of(name, allowed).structure, outcome_of(name).structure
    differences = structure_differences(want, have, CASES[name])
    surprising = {key: text for key, text in differences.items() if key not in allowed}
    assert not surprising, "\n".join(f"[{key}]\n{text}" for key, text in surprising.items())


BAD = [name for name, case in CASES.items() if case.mentions]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_names_what_is_wrong_and_leaves_nothing(
    name: str, is_ours: bool, outcome_of: Any
) -> None:
    case = CASES[name]
    if not is_ours or case.like is not None:
        pytest.skip("messages and tidiness are promises of tf1_bn, for calls that fail")
    error = outcome_of(name).structure["error"]
    assert case.mentions in error["message"], error["message"]
    if case.program == "single":
        left = {key: error[key] for key in ("variables_left", "updates_left", "losses_left")}
        assert not any(left.values()), left
