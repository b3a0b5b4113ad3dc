"""What the tests of this folder ask about the project's own files; pure Python, no TensorFlow."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tf1_bn"
# Where a checkout keeps what is not the project's.
IGNORED = {
    ".git",
    ".hypothesis",
    ".nox",
    ".venv",
    "__pycache__",
    "PKG-INFO",
    "build",
    "dist",
} | {f".{tool}_cache" for tool in ("mypy", "pytest", "ruff")}


def project_files() -> list[Path]:
    """Return the project's files: what git tracks or would track; all of them without git."""
    if (ROOT / ".git").exists():
        # The owner of a checkout may differ from the user of a container.
        command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "-co"]
        listing = subprocess.run(
            [*command, "--exclude-standard"], cwd=str(ROOT), stdout=subprocess.PIPE, check=True
        )
        files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        files = [
            path
            for path in ROOT.rglob("*")
            if not IGNORED.intersection(path.relative_to(ROOT).parts)
            and ".egg-info" not in str(path)
        ]
    return sorted(path for path in files if path.is_file())


def relative(path: Path) -> str:
    """Return `path` as written from the project's top, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


def package_files() -> list[Path]:
    """Return every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def version() -> str:
    """Return `tf1_bn.__version__` as written, without importing the package."""
    for node in parse(PACKAGE / "_src" / "version.py").body:
        if isinstance(node, ast.Assign) and [ast.dump(t) for t in node.targets] == [
            ast.dump(ast.Name(id="__version__", ctx=ast.Store()))
        ]:
            return str(ast.literal_eval(node.value))
    raise AssertionError("tf1_bn/_src/version.py must assign __version__ a literal")


def run_python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in a process of its own, the project importable."""
    environment = dict(os.environ)
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=str(cwd),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
