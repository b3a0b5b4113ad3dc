"""Plain `pytest` runs the quick tests and says how to run the rest; a path leaves none out."""

from __future__ import annotations

import pytest

from tests.forked import python
from tests.meta.project import ROOT, run_python
from tests.tiers import SLOW, TESTS, is_slow, tenth

# One quick and one slow file, neither of which needs TensorFlow to be collected.
QUICK_FILE, SLOW_FILE = "tests/unit/test_spec.py", "tests/graph/test_functions.py"
SAID = "`pytest --all` runs the slow ones too"


def collected(*arguments: str) -> tuple[set[str], bool]:
    """Return the files whose tests pytest would run, and whether it speaks of slow ones."""
    done = run_python("-m", "pytest", "--collect-only", "-q", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [line.split("::")[0] for line in done.stdout.splitlines() if "::" in line]
    return set(names), SAID in done.stdout


@pytest.mark.parametrize(
    "arguments, files, said",
    [
        ((), {QUICK_FILE}, True),
        (("--all",), {QUICK_FILE, SLOW_FILE}, False),
        (("-m", "slow"), {SLOW_FILE}, False),
        ((QUICK_FILE, SLOW_FILE), {QUICK_FILE, SLOW_FILE}, False),
    ],
    ids=["plain", "all", "marker", "paths"],
)
def test_what_runs(arguments: tuple, files: set, said: bool) -> None:
    both = f"testpaths={QUICK_FILE} {SLOW_FILE}"
    assert collected("-o", both, *arguments) == (files, said)


@pytest.mark.parametrize("path", sorted(SLOW))
def test_each_path_of_the_table_is_there(path: str) -> None:
    assert (TESTS / path).exists()


def test_a_folder_takes_its_files_and_no_others() -> None:
    assert is_slow(TESTS / "legacy" / "test_install.py")
    assert not is_slow(TESTS / "meta" / "test_ci.py")


def test_a_tenth_is_of_every_place() -> None:
    chosen = tenth(list(range(205)))
    assert len(chosen) == 21
    assert {each % 10 for each in chosen} == set(range(10))
    assert {each // 10 for each in chosen} == set(range(21))


def test_a_tenth_of_a_file() -> None:
    done = run_python("-m", "pytest", "--collect-only", "-q", QUICK_FILE, "--tenth", QUICK_FILE)
    whole = run_python("-m", "pytest", "--collect-only", "-q", QUICK_FILE)
    counts = [text.stdout.count("::") for text in (done, whole)]
    assert 0 < counts[0] == len(tenth(list(range(counts[1])))) < counts[1] / 5
    folder = run_python("-m", "pytest", "--collect-only", "-q", QUICK_FILE, "--tenth", "tests/unit")
    assert folder.stdout.count("::") == counts[0]
    wrong = run_python("-m", "pytest", "--collect-only", "-q", QUICK_FILE, "--tenth", SLOW_FILE)
    assert wrong.returncode != 0 and "no test of" in wrong.stdout + wrong.stderr


def test_a_tenth_keeps_what_only_an_old_tensorflow_runs() -> None:
    file = "tests/contrib/test_conformance.py"
    done = python("-m", "pytest", "--collect-only", "-q", file, "--tenth", file, cwd=ROOT)
    assert "::test_the_records_are_those_of_this_tensorflow" in done.out, done.err
