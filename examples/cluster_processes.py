# SPDX-License-Identifier: Apache-2.0
"""Starts the processes of a cluster on this machine, restarts those that die, and ends them all.

Knows nothing of TensorFlow. Each process is `cluster_task.py` with a pipe as its stdin, so that it
ends when this program does, however that ends.
"""

from __future__ import annotations

import contextlib
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Iterator, NamedTuple, Sequence

MOST_RESTARTS = 3
SECONDS_TO_END = 10
PROGRESS = re.compile(r"global step (\d+) of \d+, (\d+) steps here")


class ClusterError(Exception):
    """A process died too often to go on."""


class Line(NamedTuple):
    """One line that a process printed."""

    process: Process
    text: str


class Process:
    """One task of the cluster: the process that runs now, and what its forerunners reported."""

    def __init__(self, name: str, command: Sequence[str], lines: queue.Queue[Line]) -> None:
        self.name = name
        self.starts = 0
        self.steps_before = 0
        self.steps = 0
        self.finished = False
        self._command = list(command)
        self._lines = lines
        self._running: Any = None

    def start(self) -> None:
        self.steps_before += self.steps
        self.steps = 0
        self.starts += 1
        self.finished = False
        self._running = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            # Ctrl-C goes to the launcher alone, which ends the others.
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self._running.stdout,), daemon=True).start()

    def say(self, text: str) -> None:
        """Writes a line to the process; one that is gone does not mind."""
        with contextlib.suppress(OSError):
            self._running.stdin.write(text + "\n")
            self._running.stdin.flush()

    def kill(self) -> None:
        """SIGKILL: the process cannot tidy up, as when a machine fails."""
        self._running.send_signal(signal.SIGKILL)

    def exit_code(self) -> int | None:
        return self._running.poll() if self._running is not None else None

    def end(self) -> None:
        if self._running is not None:
            if self._running.poll() is None:
                self._running.kill()
            self._running.wait(SECONDS_TO_END)
            with contextlib.suppress(OSError):
                self._running.stdin.close()

    def note(self, text: str) -> int | None:
        """Takes the counts out of a progress line; returns the global step, if it is one."""
        found = PROGRESS.search(text)
        if found is None:
            return None
        self.steps = int(found.group(2))
        return int(found.group(1))

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(Line(self, line.rstrip("\n")))


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Yields ports that nobody else is given while the block runs.

    On Linux a socket that is bound but never listens keeps the port from everybody who asks for a
    free one, while a server that asks for this very port still gets it, also when it comes back.
    """
    held = []
    try:
        for _ in range(count):
            held.append(socket.socket())
            held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held[-1].bind(("", 0))
        ports = [holder.getsockname()[1] for holder in held]
        if not sys.platform.startswith("linux"):
            for holder in held:
                holder.close()
        yield ports
    finally:
        for holder in held:
            holder.close()


class Cluster:
    """One parameter server and some workers, of which the first is the chief."""

    def __init__(self, workers: int, ports: Sequence[int], options: Sequence[str]) -> None:
        self.lines: queue.Queue[Line] = queue.Queue()
        addresses = [f"localhost:{port}" for port in ports]
        common = [
            *[sys.executable, str(Path(__file__).with_name("cluster_task.py")), "--supervised"],
            *["--ps", addresses[0], "--workers", ",".join(addresses[1:]), *options],
        ]
        self.ps = Process("ps", [*common, "--job", "ps", "--task", "0"], self.lines)
        self.workers = [
            Process(f"worker {task}", [*common, "--job", "worker", "--task", str(task)], self.lines)
            for task in range(workers)
        ]
        self.chief = self.workers[0]
        self.processes = [self.ps, *self.workers]

    def start(self) -> None:
        for process in self.processes:
            process.start()

    def end(self) -> None:
        for process in self.processes:
            process.end()

    def next_line(self) -> Line | None:
        """What some process printed, or None when none did for a moment."""
        with contextlib.suppress(queue.Empty):
            return self.lines.get(timeout=0.1)
        return None

    def look_after(self) -> list[Process]:
        """Marks workers that finished and starts again what died; returns what was started.

        Raises:
          ClusterError: a process died more than MOST_RESTARTS times.
        """
        dead = []
        for process in self.processes:
            code = process.exit_code()
            if code == 0 and process is not self.ps:
                process.finished = True
            elif code is not None:
                dead.append(process)
        # Without its last steps the model needs the workers again that were done with them.
        if self.ps in dead or self.chief in dead:
            dead += [worker for worker in self.workers[1:] if worker.finished]
        for process in dead:
            if process.starts > MOST_RESTARTS:
                raise ClusterError(f"{process.name} died {process.starts} times")
            process.start()
        if all(worker.finished for worker in self.workers[1:]):
            self.chief.say("finish")
        return dead
