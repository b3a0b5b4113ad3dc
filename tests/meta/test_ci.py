"""The scripts of `.ci` fail when they should: tests lost, a report missing, no minimum."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.forked import python
from tests.meta.project import ROOT, parse, run_python

COUNT = str(ROOT / ".ci" / "count_tests.py")
README_COMMAND = str(ROOT / ".ci" / "readme_command.py")
# One failed, one skipped, and two passed, one of which talks of failure.
REPORT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase name="a"/><testcase name="b"><failure/></testcase><testcase name="c"><skipped/></testcase>
<testcase name="d"><system-out>failure</system-out></testcase>
</testsuite></testsuites>"""


def minimums() -> dict[str, int]:
    lines = (ROOT / ".ci" / "minimum_tests.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {name: int(number) for name, number in rows}


def nox_runs() -> list[str]:
    """Return the names of the runs in noxfile.py, from its source."""
    calls = [node for node in ast.walk(parse(ROOT / "noxfile.py")) if isinstance(node, ast.Call)]
    runs = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Run"]
    return [str(ast.literal_eval(call.args[0])) for call in runs]


def test_every_run_has_a_minimum_and_no_other_line_is_there() -> None:
    assert len(nox_runs()) >= 5
    assert sorted(minimums()) == sorted(["readme", *nox_runs()])


@pytest.mark.parametrize("run", sorted(minimums()))
def test_too_few_tests_fail(run: str, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuite>{'<testcase/>' * (minimums()[run] - 1)}</testsuite>")
    assert run_python(COUNT, run, str(report)).returncode == 1
    report.write_text(f"<testsuite>{'<testcase/>' * minimums()[run]}</testsuite>")
    assert run_python(COUNT, run, str(report)).returncode == 0


def test_a_missing_report_or_minimum_fails(tmp_path: Path) -> None:
    missing = run_python(COUNT, "newest", str(tmp_path / "none.xml"))
    assert (missing.returncode, missing.stdout) == (1, "newest: pytest wrote no report\n")
    (tmp_path / "report.xml").write_text(REPORT)
    unknown = run_python(COUNT, "tf9.9", str(tmp_path / "report.xml"))
    assert unknown.returncode == 1 and "'tf9.9'" in unknown.stderr


@pytest.mark.parametrize(
    "stages, line", [("0", "2 passed, 1 failed\n"), ("3", "2 passed, 3 failed\n")]
)
def test_total_is_the_sum_of_the_reports(stages: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(REPORT)
    done = run_python(COUNT, "--total", str(tmp_path), stages)
    assert (done.returncode, done.stdout) == (1, line)


def test_nothing_run_is_a_failure(tmp_path: Path) -> None:
    done = run_python(COUNT, "--total", str(tmp_path), "0")
    assert (done.returncode, done.stdout) == (1, "0 passed, 0 failed\n")


def test_readme_has_one_test_command() -> None:
    done = run_python(README_COMMAND, str(ROOT / "README.md"))
    assert done.returncode == 0, done.stderr
    assert "-m venv" in done.stdout and "pytest" in done.stdout


@pytest.mark.parametrize("fences", ["", "```bash\npytest\n```\n```sh\npytest -q\n```\n"])
def test_readme_command_must_be_one(fences: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n{fences}")
    assert run_python(README_COMMAND, str(page)).returncode == 1


@pytest.fixture(scope="module")
def arguments() -> dict[str, list[str]]:
    """Return what the noxfile gives pytest in each run; nox itself is not needed for that."""
    nox, command = ModuleType("nox"), ModuleType("nox.command")
    nox.__dict__.update(options=SimpleNamespace(), Session=object, command=command)
    nox.__dict__["session"] = lambda **options: lambda body: body
    spec = importlib.util.spec_from_file_location("noxfile_read", str(ROOT / "noxfile.py"))
    assert spec and spec.loader
    noxfile: Any = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "nox", nox)
        patched.setitem(sys.modules, "nox.command", command)
        spec.loader.exec_module(noxfile)
    return {run.name: list(run.arguments) for pair in noxfile.PAIRS for run in pair.runs}


# One process, which reads the files once.
COLLECT = """
import json, sys
import pytest

class Seen:
    def __init__(self):
        self.left_out = 0
    def pytest_deselected(self, items):
        self.left_out += len(items)
    def pytest_collection_finish(self, session):
        self.chosen = [item.nodeid for item in session.items]

found = []
for arguments in json.loads(sys.argv[1]):
    seen = Seen()
    assert pytest.main(["--collect-only", "-q", *arguments], plugins=[seen]) == 0
    found.append([seen.chosen, len(seen.chosen) + seen.left_out])
print(json.dumps(found))
"""


def collected(*lines: list[str]) -> list[tuple[list[str], int]]:
    """Return for each command line the tests it would run, and how many its files have."""
    done = python("-c", COLLECT, json.dumps(lines), cwd=ROOT)
    assert done.code == 0, done.out[-2000:] + done.err
    found: list[tuple[list[str], int]] = json.loads(done.out.splitlines()[-1])
    return found


@pytest.mark.slow
def test_each_path_of_a_run_is_there(arguments: dict[str, list[str]]) -> None:
    words = [word for words in arguments.values() for word in words if "tests/" in word]
    paths = {word.split("=")[-1].split("::")[0] for word in words}
    assert len(paths) > 30 and [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.slow
def test_the_runs_on_the_newest_are_the_whole_suite(arguments: dict[str, list[str]]) -> None:
    """README's line and two runs: no test is lost between them, none runs twice."""
    runs = collected([], arguments["newest"], arguments["newest-cluster"])
    (quick, whole), (slow, _), (cluster, _) = runs
    assert quick and slow and cluster
    everything = [*quick, *slow, *cluster]
    assert len(set(everything)) == len(everything) == whole


def test_the_readme_command_runs_as_a_reader_has_it() -> None:
    """Without arguments, which would choose other tests, and where CI asks for it."""
    done = run_python(README_COMMAND, str(ROOT / "README.md"))
    assert re.search(r"-m pytest\s*$", done.stdout), done.stdout
    stages = re.search(r"for session in (.*); do", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert stages and {"readme", "tests-newest", "tests-slim"} <= set(stages[1].split())
