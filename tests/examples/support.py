"""Runs an example the way a reader does, in an empty folder.

In a fork of a process that has imported TensorFlow, or in one of its own where that makes a
difference: what a reader sees of the main job, of a terminal, of Ctrl-C.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Sequence

from tests import forked
from tests.forked import ROOT
from tests.forked import Ended as Finished

EXAMPLES = ROOT / "examples"
TIME_LIMIT = 900  # seconds; only to end a hung process, no statement about speed


def environment(*first_on_path: Path) -> dict[str, str]:
    """The environment of the examples; `first_on_path` may hold stand-ins for real packages."""
    entries = [str(path) for path in (*first_on_path, ROOT)]
    inherited = os.environ.get("PYTHONPATH")
    entries += [inherited] if inherited else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entries), "PYTHONDONTWRITEBYTECODE": "1"}


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / script), *map(str, arguments)]


def run_anew(
    folder: Path, script: str, *arguments: object, first_on_path: Sequence[Path] = ()
) -> Finished:
    process = subprocess.run(
        command(script, *arguments),
        cwd=str(folder),
        env=environment(*first_on_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )
    return Finished(process.returncode, process.stdout, process.stderr)


def run_example(folder: Path, script: str, *arguments: object) -> Finished:
    return forked.python(*command(script, *arguments)[1:], cwd=folder)


def succeed(folder: Path, script: str, *arguments: object) -> Finished:
    finished = run_example(folder, script, *arguments)
    assert finished.code == 0, finished.err
    return finished


# Runs many command lines in one process.
_MANY = """
import contextlib, io, json, os, runpy, sys
lines = json.loads(sys.argv[1])
results = []
for line in lines:
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = line
    sys.path[0] = os.path.dirname(line[0])
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(line[0], run_name="__main__")
        except SystemExit as stop:
            code = stop.code
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def run_many(folder: Path, lines: Sequence[Sequence[object]]) -> list[Finished]:
    """Runs command lines, each a script and its arguments, and returns how each ended."""
    full = [[str(EXAMPLES / str(script)), *map(str, rest)] for script, *rest in lines]
    ended = forked.python("-c", _MANY, json.dumps(full), cwd=folder)
    assert ended.code == 0, ended.err
    return [Finished(*result) for result in json.loads(ended.out.splitlines()[-1])]


def numbers_after(label: str, text: str) -> list[float]:
    """All numbers in what follows `label` on the one line that contains it."""
    matching = [line for line in text.splitlines() if label in line]
    assert len(matching) == 1, f"{len(matching)} lines with {label!r} in:\n{text}"
    rest = matching[0].split(label, 1)[1]
    return [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", rest)]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
