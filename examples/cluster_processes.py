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
PROGRESS = re.compile(
    r"global step \d+ of \d+, (\d+) steps here(?:, waiting for (?P<gate>\w+)|, (?P<done>done))?"
)


class ClusterError(Exception):
    """A process died too often to go on."""


class Line(NamedTuple):
    """One line that a process printed."""

    process: Process
    start: int  # which of its starts that was, from 0
    text: str


class Process:
    """One task of the cluster: the process that runs now, and what its forerunners reported."""

    def __init__(self, name: str, command: Sequence[str], lines: queue.Queue[Line]) -> None:
        self.name = name
        self.steps: list[int] = []  # reported after each start
        self.waits_for: str | None = None
        self.done = False
        self.told_to_finish = False
        self.finished = False
        self._command = list(command)
        self._lines = lines
        self._running: Any = None
        self._reader = threading.Thread()

    @property
    def starts(self) -> int:
        return len(self.steps)

    def start(self) -> None:
        self.steps.append(0)
        self.waits_for = None
        self.done = self.told_to_finish = self.finished = False
        self._running = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            # Ctrl-C goes to the launcher alone, which ends the others.
            start_new_session=True,
        )
        arguments = (self._running.stdout, len(self.steps) - 1)
        self._reader = threading.Thread(target=self._read, args=arguments, daemon=True)
        self._reader.start()

    def say(self, text: str) -> None:
        """Writes a line to the process; one that is gone does not mind."""
        with contextlib.suppress(OSError):
            self._running.stdin.write(text + "\n")
            self._running.stdin.flush()

    def kill(self) -> None:
        """SIGKILL: the process cannot tidy up, as when a machine fails."""
        self._running.send_signal(signal.SIGKILL)
        self._running.wait(SECONDS_TO_END)

    def exit_code(self) -> int | None:
        return self._running.poll() if self._running is not None else None

    def end(self) -> None:
        if self._running is not None:
            if self._running.poll() is None:
                self._running.kill()
            self._running.wait(SECONDS_TO_END)
            # What it said last is in the queue then.
            if self._reader.is_alive():
                self._reader.join(SECONDS_TO_END)
            with contextlib.suppress(OSError):
                self._running.stdin.close()

    def note(self, line: Line) -> None:
        """Takes what a progress line says of the steps and of where the process stands."""
        found = PROGRESS.search(line.text)
        if found is not None:
            self.steps[line.start] = int(found.group(1))
            # A line may be read only after its process has died and another has been started.
            if line.start == len(self.steps) - 1:
                self.waits_for = found.group("gate")
                self.done = found.group("done") is not None

    def _read(self, stream: IO[str], start: int) -> None:
        with stream:
            for line in stream:
                self._lines.put(Line(self, start, line.rstrip("\n")))


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
    """One parameter server and some workers, of which the first is the chief.

    The workers wait for one another at each of the `gates`, in this order.
    """

    def __init__(
        self,
        workers: int,
        ports: Sequence[int],
        options: Sequence[str],
        gates: Sequence[str] = ("start",),
    ) -> None:
        self.lines: queue.Queue[Line] = queue.Queue()
        self._gates = list(gates)
        self._opened: list[str] = []
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

    def gate_reached(self) -> str | None:
        """The next gate, if all workers stand there or need it no more."""
        gate = self._gates[0] if self._gates else None
        there = all(worker.done or worker.waits_for == gate for worker in self.workers)
        return gate if there else None

    def open_gate(self) -> None:
        self._opened.append(self._gates.pop(0))
        for worker in self.workers:
            worker.say(self._opened[-1])

    def look_after(self) -> list[Process]:
        """Starts again what died, and lets the workers end when all is done.

        Returns:
          The processes that were started.

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
        # Steps are lost now, and who was told to finish may not make them again.
        if self.ps in dead or self.chief in dead:
            dead += [one for one in self.workers[1:] if one.told_to_finish and one not in dead]
        for process in dead:
            if process.starts > MOST_RESTARTS:
                raise ClusterError(f"{process.name} died {process.starts} times")
            process.end()
            process.start()
            for gate in self._opened:
                process.say(gate)
        if self.chief.done and not self._gates:
            others = self.workers[1:]
            # The last checkpoint is written when the chief ends, and should hold all steps.
            for worker in others if not all(one.finished for one in others) else [self.chief]:
                if not worker.told_to_finish:
                    worker.say("finish")
                    worker.told_to_finish = True
        return dead
