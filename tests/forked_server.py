"""`python -m tests.forked_server SOCKET`: imports TensorFlow and forks for each request.

A request is a connection: the three streams, then a JSON object with `arguments`, `cwd` and
`environment`. The answer is the exit code; a client that leaves ends its fork.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from tests.forked import become, end, load


class Server:
    """One thread, since a fork has no other."""

    def __init__(self, where: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(where)
        self._listener.listen(16)
        # A child's end wakes the loop.
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        self._children: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Until the tests end, which hold the other end of standard input."""
        while True:
            waiting: list[Any] = [0, self._woken, self._listener, *self._children.values()]
            ready = select.select(waiting, [], [])[0]
            if 0 in ready:
                break
            if self._woken in ready:
                os.read(self._woken, 1024)
                self._collect()
            if self._listener in ready:
                self._fork(self._listener.accept()[0])
            for pid, connection in self._children.items():
                if connection in ready:
                    os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _collect(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
                with self._children.pop(pid) as connection, contextlib.suppress(OSError):
                    connection.sendall(str(code).encode("ascii"))

    def _fork(self, connection: socket.socket) -> None:
        files = array.array("i")
        _, ((_, _, rights),), _, _ = connection.recvmsg(1, socket.CMSG_SPACE(3 * files.itemsize))
        files.frombytes(rights)
        with connection.makefile("r", encoding="ascii") as lines:
            request = json.loads(lines.readline())
        pid = os.fork()
        if pid == 0:
            self._leave(connection)
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            end(become, request)
        for file in files:
            os.close(file)
        self._children[pid] = connection

    def _leave(self, connection: socket.socket) -> None:
        """Keep nothing of the server in a fork."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (connection, self._listener, *self._children.values()):
            each.close()
        os.close(self._woken)
        os.close(self._wake)


if __name__ == "__main__":
    server = Server(sys.argv[1])
    load()
    os.write(1, b"ready\n")
    # What TensorFlow prints is nobody's.
    os.dup2(2, 1)
    server.serve()
