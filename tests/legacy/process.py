"""Programs in processes of their own, by plain `python` or under `python -m tf1_bn run`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Sequence

from tests.forked import Ended, environment

PROGRAMS = Path(__file__).with_name("programs")
SECONDS = 900


def python(*arguments: str, cwd: Path, text: str = "", **changes: str) -> Ended:
    """Run this interpreter with `arguments` in `cwd`; `text` is what it reads."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=str(cwd),
        env=environment(**changes),
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def under_run(*arguments: str, cwd: Path, text: str = "", **changes: str) -> Ended:
    return python("-m", "tf1_bn", "run", *arguments, cwd=cwd, text=text, **changes)


def interrupted(arguments: Sequence[str], cwd: Path, number: int) -> Ended:
    """Start a program, wait for its first line of output, send it a signal, wait for its end."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=str(cwd),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        # pytest may itself run where Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        # It has yet to get from its print to its sleep, which both runs are to be woken from.
        time.sleep(0.3)
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
        return Ended(process.returncode, first + out, err)
