"""The processes that a command starts run the very package that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.forked import environment
from tests.meta.project import ROOT
from tests.testing.support import DENSE_NET
from tests.testing.test_commands import SECONDS

SHOWS = """
import sys
print("script", sys.path[0], sys.argv, {'tf1_bn'} & set(sys.modules), flush=True)
import json, tensorflow, tf1_bn
print("package", tf1_bn.__file__, sys.flags.quiet, flush=True)
"""


def test_verify_runs_the_script_with_its_own_package(tmp_path: Path) -> None:
    """Neither a folder of its name nor a module of Python's in the current folder is in the way."""
    (tmp_path / "tf1_bn").mkdir()
    for name in ("tf1_bn/__init__.py", "json.py", "tempfile.py"):
        (tmp_path / name).write_text(
            "raise AssertionError(f'the current folder was asked: {__file__}')"
        )
    for folder, name, source in (
        ("bin", "tf1_bn", "import sys\nfrom tf1_bn.__main__ import start\nsys.exit(start())\n"),
        ("inner", "program.py", SHOWS),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(source)
    given = ("bin/tf1_bn", "verify", str(DENSE_NET), "inner/program.py", "--", "x")
    done = subprocess.run(
        # A flag that is handed on, and that compiles nothing anew, as -O would all of TensorFlow.
        [sys.executable, "-q", *given],
        cwd=str(tmp_path),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "current folder was asked" not in done.stderr
    script, package = done.stdout.splitlines()[:2]
    assert script == f"script {tmp_path / 'inner'} ['inner/program.py', 'x'] {{'tf1_bn'}}"
    assert package == f"package {ROOT / 'tf1_bn' / '__init__.py'} 1"
    # The script builds nothing of what was recorded; that it was run is what is compared.
    assert done.returncode == 1, done.stderr
