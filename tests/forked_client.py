"""Asks the process that forks for a program; as a program, a stand-in for `sys.executable`.

It costs a start of Python without site-packages instead of an import of TensorFlow.
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
from typing import Mapping, Sequence

# In the environment: where the process that forks listens.
SOCKET = "TF1_BN_TEST_FORKS"


def ask(
    where: str,
    arguments: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    files: Sequence[int],
) -> int:
    """Let a fork be the program, with its three streams; return its exit code.

    If this process ends before, so does the fork.
    """
    request = {"arguments": list(arguments), "cwd": cwd, "environment": dict(environment)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(where)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files).tobytes())
        connection.sendmsg([b"\n"], [rights])
        connection.sendall(json.dumps(request).encode("ascii") + b"\n")
        answer = connection.recv(16)
    assert answer, "the process that forks has ended"
    return int(answer)


def main() -> int:
    arguments = sys.argv[1:]
    while arguments[0].startswith(("-B", "-W")):
        arguments.pop(0)
    is_program = arguments[0] in ("-m", "-c") or not arguments[0].startswith("-")
    if not is_program or SOCKET not in os.environ:
        # What asks for a Python of its own kind gets it.
        os.execv(sys.executable, [sys.executable, *arguments])
    code = ask(os.environ[SOCKET], arguments, os.getcwd(), os.environ, (0, 1, 2))
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
