"""Records the goldens with the real layer of TF 1.15: `python -m tests.conformance.record`.

Refuses any other TensorFlow. Existing records are kept: only new cases are added, and a case that
left the table is dropped. A golden is never recorded again to make a test pass; to correct a
wrong case, give it another name or delete its record by hand, with the reason in the commit.
"""

from __future__ import annotations

import argparse
import platform
import sys
from typing import Any, Callable

import numpy as np

from tests.conformance.case import Case
from tests.conformance.cases import CASES, GROUPS
from tests.conformance.goldens_io import GOLDENS, load_group, save_json, save_npz
from tests.conformance.runner import Candidate, Outcome, real_layer, run_case
from tests.conftest import SEED, tensorflow, tf_version

MESSAGE_LENGTH = 160


def _cpu_flags() -> list:
    """The flags that decide which vector kernels Eigen may use."""
    wanted = {"sse4_1", "sse4_2", "avx", "avx2", "fma", "avx512f"}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            line = next(line for line in stream if line.startswith("flags"))
    except (OSError, StopIteration):
        return []
    return sorted(wanted & set(line.split()))


def metadata() -> dict:
    tf = tensorflow()
    return {
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_flags": _cpu_flags(),
        "seed": SEED,
        "threads": 1,
    }


def golden_of(candidate: Candidate, case: Case) -> tuple:
    """The record of one case: its structure, and its arrays by key."""
    outcome = run_case(candidate, case)
    structure, numbers = trimmed(outcome.structure), dict(outcome.numbers)
    if case.like is not None:
        instead: Outcome = run_case(candidate, case._replace(like=None, **case.like))
        failed = [key for key in ("error", "run_error") if key in instead.structure]
        if failed:
            raise RuntimeError(f"{case.name}: what it should be like fails: {instead.structure}")
        structure["instead"] = trimmed(instead.structure)
        numbers.update({f"instead: {key}": v for key, v in instead.numbers.items()})
    return structure, numbers


def trimmed(structure: dict) -> dict:
    """The structure with the last line of an error's message alone."""
    if "error" not in structure:
        return structure
    error = structure["error"]
    # AutoGraph puts a stack of file names before the message proper.
    lines = [" ".join(line.split()) for line in error["message"].splitlines() if line.strip()]
    return {"error": {"type": error["type"], "message": lines[-1][:MESSAGE_LENGTH]}}


def record(again: tuple = ()) -> None:
    candidate = real_layer()
    for group in GROUPS:
        structures, arrays = _existing(group)
        cases = [case for case in CASES.values() if case.group == group]
        for case in cases:
            if case.name in structures and case.name not in again:
                continue
            structures[case.name], numbers = golden_of(candidate, case)
            _forget(arrays, case.name)
            arrays.update({f"{case.name}::{key}": value for key, value in numbers.items()})
            print("recorded", case.name, file=sys.stderr)
        kept = {case.name: structures[case.name] for case in cases}
        for name in set(structures) - set(kept):
            _forget(arrays, name)
        save_json(GOLDENS / f"{group}.json", kept)
        save_npz(GOLDENS / f"{group}.npz", arrays)
    save_json(GOLDENS / "recorded_by.json", metadata())


def _existing(group: str) -> tuple:
    if not (GOLDENS / f"{group}.json").exists():
        return {}, {}
    return load_group(group)


def _forget(arrays: dict, name: str) -> None:
    for key in [key for key in arrays if key.startswith(name + "::")]:
        del arrays[key]


def cases_again(description: str | None, argv: list | None = None) -> tuple:
    """The cases that a command line names, whose records are to be made anew."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--again", action="append", default=[], metavar="CASE",
                        help="record this case although there is a record")  # fmt: skip
    return tuple(parser.parse_args(argv).again)


def on_tf1(record: Callable[..., None], *given: Any) -> int:
    """Calls `record` on TF 1.15 alone; returns the exit code."""
    if tf_version()[:2] != (1, 15):
        found = tensorflow().__version__
        print(f"goldens come from TF 1.15 only, this is {found}", file=sys.stderr)
        return 2
    record(*given)
    return 0


if __name__ == "__main__":
    sys.exit(on_tf1(record, cases_again(__doc__)))
