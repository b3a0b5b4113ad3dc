"""Records the goldens with TF 1.15's own contrib: `python -m tests.contrib.record`.

Refuses any other TensorFlow. What is recorded stays: only new cases are added and those that left
the table dropped. A golden is never recorded again to make a test pass.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from typing import Any

from tests.conformance.record import MESSAGE_LENGTH, metadata
from tests.conformance.runner import Outcome
from tests.conftest import tensorflow, tf_version
from tests.contrib.bench import instead_of, outcome_of, real_contrib, real_function
from tests.contrib.cases import CASES
from tests.contrib.goldens_io import INSTEAD, load, save


def _trimmed(structure: dict) -> dict:
    if "error" not in structure:
        return structure
    error = structure["error"]
    lines = [" ".join(line.split()) for line in error["message"].splitlines() if line.strip()]
    return {"error": {"type": error["type"], "message": lines[-1][:MESSAGE_LENGTH]}}


def _golden_of(name: str) -> Outcome:
    candidate, case = real_contrib(), CASES[name]
    outcome = outcome_of(candidate, name)
    structure, numbers = _trimmed(outcome.structure), dict(outcome.numbers)
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


def main(argv: list | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--again",
        action="append",
        default=[],
        metavar="CASE",
        help="record this case although there is a record",
    )
    options: Any = parser.parse_args(argv)
    if tf_version()[:2] != (1, 15):
        found = tensorflow().__version__
        print(f"goldens come from TF 1.15 only, this is {found}", file=sys.stderr)
        return 2
    known = {name: outcome for name, outcome in load().items() if name in CASES}
    for name in CASES:
        if name not in known or name in options.again:
            known[name] = _golden_of(name)
            print("recorded", name, file=sys.stderr)
    save(known, {**metadata(), "signature": signature_of(real_function())})
    return 0


if __name__ == "__main__":
    sys.exit(main())
