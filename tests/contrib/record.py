"""Records the goldens with TF 1.15's own contrib: `python -m tests.contrib.record`.

Refuses any other TensorFlow. What is recorded stays: only new cases are added and those that left
the table dropped. A golden is never recorded again to make a test pass.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from tests.conformance.record import cases_again, metadata, on_tf1, trimmed
from tests.conformance.runner import Outcome
from tests.contrib.bench import instead_of, outcome_of, real_contrib, real_function
from tests.contrib.cases import CASES
from tests.contrib.goldens_io import INSTEAD, load, save


def _golden_of(name: str) -> Outcome:
    candidate, case = real_contrib(), CASES[name]
    outcome = outcome_of(candidate, name)
    structure, numbers = trimmed(outcome.structure), dict(outcome.numbers)
    if case.like is not None:
        instead = instead_of(candidate, case)
        failed = [key for key in ("error", "run_error") if key in instead.structure]
        if failed:
            raise RuntimeError(f"{name}: what it should be like fails: {instead.structure}")
        structure["instead"] = instead.structure
        numbers.update({INSTEAD + key: array for key, array in instead.numbers.items()})
    return Outcome(structure, numbers)


def signature_of(function: Any) -> list:
    """Name and default of each parameter, "required" where there is none."""
    found = inspect.signature(function).parameters.values()
    return [[p.name, "required" if p.default is p.empty else p.default] for p in found]


def record(again: tuple = ()) -> None:
    known = {name: outcome for name, outcome in load().items() if name in CASES}
    for name in CASES:
        if name not in known or name in again:
            known[name] = _golden_of(name)
            print("recorded", name, file=sys.stderr)
    save(known, {**metadata(), "signature": signature_of(real_function())})


def main(argv: list | None = None) -> int:
    return on_tf1(record, cases_again(__doc__, argv))


if __name__ == "__main__":
    sys.exit(main())
