"""Commands with programs, each in a process forked from one that has imported TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Sequence

from tests.meta.project import ROOT

SECONDS = 240


class Heard(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def heard(folder: Path, commands: Sequence[Sequence[str]], **environment: str) -> list[Heard]:
    """Carry out command lines of `tf1_bn`, each in an empty folder of its own."""
    subprocess.run(
        [sys.executable, "-m", "tests.doctor.heard", str(folder), json.dumps(list(commands))],
        cwd=str(ROOT),
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
        check=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )
    return [Heard(*json.loads((folder / f"{n}.json").read_text())) for n in range(len(commands))]


def main(folder: str, commands: list[list[str]]) -> None:
    """In the process of its own; a fork returns, so that it ends as any process does."""
    import tensorflow.compat.v1  # noqa: F401

    from tf1_bn._src.cli.main import main as carry_out

    for number, command in enumerate(commands):
        base = os.path.join(folder, str(number))
        os.mkdir(base)
        child = os.fork()
        if child == 0:
            os.chdir(base)
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{base}.{name}", os.O_WRONLY | os.O_CREAT), stream)
            sys.exit(carry_out(command))
        status = os.waitpid(child, 0)[1]
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        said = [Path(f"{base}.{name}").read_text(encoding="utf-8") for name in ("out", "err")]
        Path(f"{base}.json").write_text(json.dumps([code, *said]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
