"""Programs that start the tasks of a cluster, with each task a fork of the program.

`python -m tests.examples.forked_tasks SCRIPT ARGUMENTS`, itself in a fork of `tests.forked`.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import subprocess
import sys
import time
from typing import Any, NoReturn, Sequence

from tests import forked


class Task:
    """What `subprocess.Popen` gives of a program in Python, which a fork of this process becomes.

    It is killed, waited for and written to as any process.
    """

    def __init__(self, command: Sequence[str], **_: Any) -> None:
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(list(command[1:]), read_in, write_out)
        os.close(read_in)
        os.close(write_out)
        self.stdin = os.fdopen(write_in, "w")
        self.stdout = os.fdopen(read_out, "r")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                is_exit = os.WIFEXITED(status)
                self.returncode = os.WEXITSTATUS(status) if is_exit else -os.WTERMSIG(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("task", timeout)
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(arguments: list[str], given: int, said: int) -> NoReturn:
    os.setsid()
    # What the program does at its end, removing its folder for one, is not for its tasks.
    atexit._clear()
    for file, number in ((given, 0), (said, 1), (said, 2)):
        os.dup2(file, number)
    # Another task's pipe must end with the program alone.
    os.closerange(3, 1024)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    environment = dict(os.environ)
    forked.end(
        forked.become,
        {"arguments": arguments, "cwd": os.getcwd(), "environment": environment},
    )


def fork_tasks() -> None:
    """Let what starts processes from now on fork them."""
    subprocess.Popen = Task  # type: ignore[assignment, misc]


if __name__ == "__main__":
    fork_tasks()
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(sys.argv[0])
    runpy.run_path(sys.argv[0], run_name="__main__")
