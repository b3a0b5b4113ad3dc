"""The progress and the tables of the examples, on terminals of several widths and on none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.examples.support import EXAMPLES, environment

SHOW = """
import io, json, sys
import example_support as support

class Terminal(io.StringIO):
    def isatty(self):
        return sys.argv[1] == "yes"

stream, out = Terminal(), Terminal()
note = "epoch 1/20: loss 0.1234, held-out accuracy 97.15 % in training mode, 89.50 % in inference"
with support.Progress(880, stream) as progress:
    progress.note(note)
    progress.advance(880)
sys.stdout = out
rows = [["accuracy", "training mode", "inference mode"], ["held-out images", "97.15 %", "89.50 %"]]
told = support.table(rows)
sys.stdout = sys.__stdout__
print(json.dumps([stream.getvalue(), told]))
"""


def shown(columns: int, terminal: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW, terminal],
        cwd=str(EXAMPLES),
        env={**environment(), "COLUMNS": str(columns)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_bar_and_table_fit_the_terminal(columns: int) -> None:
    progress, table = shown(columns, "yes")
    bar = progress.replace("\033[K", "").strip("\r\n")
    assert len(bar) < columns and "880/880" in bar and "\n" not in bar
    assert bar.count("#") == {20: 0, 40: 0, 80: 10, 200: 30}[columns]
    assert ("in inference" in bar) == (columns == 200)
    assert max(map(len, table.splitlines())) <= columns
    assert "97.15 %" in " ".join(table.split())
    assert table.startswith("accuracy") == (columns >= 80)


def test_without_a_terminal_there_are_plain_lines() -> None:
    progress, table = shown(20, "no")
    assert progress.endswith("89.50 % in inference\n") and "\r" not in progress
    assert len(table.splitlines()) == 2 and max(map(len, table.splitlines())) > 40
