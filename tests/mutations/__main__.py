"""Shows that each mistake of the kill list is caught: `python -m tests.mutations`.

Works on a copy of the project in a temporary folder. The chosen tests must pass there first, then
fail with each mutation. Prints a Markdown table; exit code 0 only if every mutation was killed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.mutations.apply import ROOT, mutated
from tests.mutations.table import MUTATIONS, Mutation

SECONDS = 180
PASSED, FAILED = 0, 1
COPIED = ("tf1_bn", "tests", "examples", "migration_guide", "setup.cfg")


class Outcome(NamedTuple):
    """Pytest's exit code, None after the time limit; the first test that failed; its output."""

    code: int | None
    killer: str
    output: str


def main(argv: list | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="mistakes with this in them")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="limit for each mutation")
    parser.add_argument("--part", metavar="K/N", default="1/1", help="each N-th, from the K-th on")
    options = parser.parse_args(argv)
    chosen = [m for m in MUTATIONS if options.only in f"{m.file}: {m.mistake}"]
    first, step = part_of(parser, options.part)
    chosen = chosen[first - 1 :: step]
    if not chosen:
        parser.error(f"no mistake has {options.only!r} in it")
    with tempfile.TemporaryDirectory(prefix="mutations.") as scratch:
        project = Path(scratch)
        copy_project(project)
        return report(chosen, project, options.seconds)


def part_of(parser: argparse.ArgumentParser, text: str) -> tuple:
    """The K and N of `K/N`."""
    first, _, step = text.partition("/")
    if not (first.isdigit() and step.isdigit() and 1 <= int(first) <= int(step)):
        parser.error(f"--part must be K/N with 1 <= K <= N (got {text!r})")
    return int(first), int(step)


def copy_project(project: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
            shutil.copytree(str(source), str(project / name), ignore=ignored)
        else:
            shutil.copy(str(source), str(project / name))


def report(chosen: list, project: Path, seconds: int) -> int:
    """Without mutations all must pass: a test that always fails kills everything."""
    whole = {test for m in chosen for test in m.tests if not m.select}
    selects = sorted({f"({m.select})" for m in chosen if m.select})
    selected = {test for m in chosen for test in m.tests} - whole
    for tests, select in ((whole, ""), (selected, " or ".join(selects))):
        if not tests:
            continue
        unchanged = run_tests(project, tuple(sorted(tests)), select, 20 * seconds)
        if unchanged.code != PASSED:
            print(f"the unchanged source fails its tests:\n{unchanged.output}", file=sys.stderr)
            return 2
    print("| file | mistake | killed by | seconds |\n|---|---|---|---|", flush=True)
    survived = 0
    for mutation in chosen:
        started = time.time()
        outcome = try_mutation(mutation, project, seconds)
        verdict = f"`{outcome.killer}`" if outcome.code == FAILED else f"**{_why(outcome)}**"
        survived += outcome.code != FAILED
        row = (f"`{mutation.file}`", mutation.mistake, verdict, f"{time.time() - started:.0f}")
        print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} mutations killed.")
    return int(survived > 0)


def _why(outcome: Outcome) -> str:
    if outcome.code is None:
        return "undecided after the time limit"
    if outcome.code == PASSED:
        return "survived"
    # A source that cannot be imported shows nothing about the tests.
    return f"undecided, pytest ended with {outcome.code}"


def try_mutation(mutation: Mutation, project: Path, seconds: int) -> Outcome:
    path = project / "tf1_bn" / mutation.file
    original = path.read_text(encoding="utf-8")
    path.write_text(mutated(mutation, original), encoding="utf-8")
    try:
        return run_tests(project, mutation.tests, mutation.select, seconds)
    finally:
        path.write_text(original, encoding="utf-8")


def run_tests(project: Path, tests: tuple, select: str, seconds: int) -> Outcome:
    """Pytest in a process of its own, up to the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    command += ["-k", select] if select else []
    # Sources of one second and one size would be taken for their old bytecode.
    environment = dict(os.environ, PYTHONPATH=str(project), PYTHONDONTWRITEBYTECODE="1")
    process = subprocess.Popen(
        command,
        cwd=str(project),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return Outcome(None, "", "")
        raise
    failed = [line for line in output.splitlines() if line.startswith("FAILED ")]
    killer = failed[0][len("FAILED ") :].split(" - ")[0] if failed else ""
    return Outcome(process.returncode, killer, output)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
