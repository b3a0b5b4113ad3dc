"""Count the tests in pytest's reports.

`count_tests.py RUN REPORT` prints the count of one run; it fails if a test failed, or if fewer
passed than `minimum_tests.txt` records.
`count_tests.py --total FOLDER FAILED_STAGES` prints the sum over all reports, the last line of a CI
run; where more stages failed than tests, as with a linter, the stages are what is counted.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

MINIMUM = Path(__file__).with_name("minimum_tests.txt")


class Count(NamedTuple):
    passed: int
    failed: int
    skipped: int


def count(report: Path) -> Count:
    """Count the test cases of a JUnit report, from the cases themselves and not from its totals."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(str(report)).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return Count(passed, failed, skipped)


def minimum(run: str) -> int:
    """Return the recorded minimum of a run; a run without a line is an error, not zero."""
    for line in MINIMUM.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == [run]:
            return int(words[1])
    raise SystemExit(f"{MINIMUM.name} has no line for the run {run!r}")


def check(run: str, report: Path) -> int:
    wanted = minimum(run)
    if not report.is_file():
        print(f"{run}: pytest wrote no report")
        return 1
    counted = count(report)
    print(f"{run}: {counted.passed} passed, {counted.failed} failed, {counted.skipped} skipped")
    if counted.passed < wanted:
        print(f"{run}: {wanted} tests must pass (minimum_tests.txt), {counted.passed} did")
        return 1
    return int(counted.failed > 0)


def total(folder: Path, failed_stages: int) -> int:
    counts = [count(report) for report in sorted(folder.glob("*.xml"))]
    passed = sum(counted.passed for counted in counts)
    failed = max(sum(counted.failed for counted in counts), failed_stages)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


def main(arguments: list[str]) -> int:
    if arguments[0] == "--total":
        return total(Path(arguments[1]), int(arguments[2]))
    return check(arguments[0], Path(arguments[1]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
