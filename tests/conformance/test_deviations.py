"""deviations.txt is exact: each line is needed, none is about a case that does not exist."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.cases import CASES
from tests.conformance.compare import number_differences, structure_differences
from tests.conformance.deviations import (
    ALLOWED_ASPECTS,
    Deviation,
    cases_of,
    for_candidate,
    read_all,
)
from tests.conformance.test_structure import expected_of

LINES = read_all()


def _id(deviation: Deviation) -> str:
    return f"line {deviation.line}"


@pytest.mark.parametrize("deviation", LINES, ids=_id)
def test_a_deviation_is_well_formed(deviation: Deviation) -> None:
    assert cases_of(deviation), f"no case is called {deviation.pattern}"
    unknown = set(deviation.aspects) - set(ALLOWED_ASPECTS)
    assert not unknown, f"no such aspects: {sorted(unknown)}"
    if "instead" in deviation.aspects:
        without = [name for name in cases_of(deviation) if CASES[name].like is None]
        assert not without, f"these cases do not say what they are like: {without}"


@pytest.mark.parametrize("deviation", LINES, ids=_id)
def test_a_deviation_is_still_needed(deviation: Deviation, candidate: Any, outcome_of: Any) -> None:
    if deviation not in for_candidate(candidate.label):
        pytest.skip("about another candidate or another TensorFlow")
    unneeded = {}
    for name in cases_of(deviation):
        left = set(deviation.aspects) - _aspects_that_differ(name, deviation, outcome_of)
        if left:
            unneeded[name] = sorted(left)
    # Several aspects of one line may each be there for another of its cases, but no case for none.
    idle = [name for name, left in unneeded.items() if len(left) == len(deviation.aspects)]
    assert not idle, f"these cases do not deviate: {idle}"
    common = [a for a in deviation.aspects if all(a in left for left in unneeded.values())]
    assert len(unneeded) < len(cases_of(deviation)) or not common, f"not needed: {common}"


def _aspects_that_differ(name: str, deviation: Deviation, outcome_of: Any) -> set:
    """What would fail in this case without the line; "instead" when anything would."""
    case, outcome = CASES[name], outcome_of(name)
    with_record = _differences(expected_of(name, set()), outcome, case)
    if "instead" in deviation.aspects:
        return {"instead"} if with_record else set()
    if case.like is None:
        return set(with_record)
    return set(_differences(expected_of(name, {"instead"}), outcome, case))


def _differences(expected: Any, outcome: Any, case: Any) -> dict:
    found = structure_differences(expected.structure, outcome.structure, case)
    found.update(number_differences(expected.numbers, outcome.numbers, expected.dtype))
    return found
