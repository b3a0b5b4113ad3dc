"""Measures how far a candidate is from the goldens: `python -m tests.conformance.measure`.

Prints, for each row of the tolerance table, the greatest error over all cases and where it is.
The derivations in tests/tolerances.py are its output, with `--candidate tf.layers`.
"""

from __future__ import annotations

import argparse
import sys

from tests.conformance.cases import CASES
from tests.conformance.compare import ASPECT_OF, quantity_of
from tests.conformance.conftest import CANDIDATES
from tests.conformance.deviations import aspects_for
from tests.conformance.runner import run_case
from tests.conformance.test_structure import expected_of
from tests.tolerances import error_of


def main(argv: list | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidate", choices=sorted(CANDIDATES), default="tf1_bn")
    parser.add_argument("--skip", action="append", default=[], metavar="CASE")
    options = parser.parse_args(argv)
    candidate = CANDIDATES[options.candidate]()
    worst: dict = {}
    for name, case in CASES.items():
        if name in options.skip:
            continue
        allowed = aspects_for(candidate.label, name)
        expected = expected_of(name, allowed)
        actual = run_case(candidate, case).numbers
        for key in set(expected.numbers) & set(actual):
            if ASPECT_OF[quantity_of(key)] in allowed:
                continue
            row = quantity_of(key), expected.dtype
            error = error_of(actual[key], expected.numbers[key])
            worst.setdefault(row, []).append((error, name, key))
    for row in sorted(worst):
        ordered = sorted(worst[row], reverse=True)
        print(*row, " ".join(f"{error:.2g}" for error, _, _ in ordered[:6]), *ordered[0][1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
