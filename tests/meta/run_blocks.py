"""Run Python blocks, each as if in a new process: import TensorFlow once, fork for every block.

Importing TensorFlow takes seconds, and there are dozens of blocks.
One JSON object a line on stdin (`source`, `name`, `folder`), one a line on stdout (`code`,
`output`, `errors`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from typing import IO

SECONDS = 600


def run_in_child(block: dict[str, str], output: IO[bytes], errors: IO[bytes]) -> None:
    """Become the block: its folder, its streams, its own `__main__`; never return."""
    code = 1
    try:
        os.chdir(block["folder"])
        os.dup2(output.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        signal.alarm(SECONDS)
        compiled = compile(block["source"], block["name"], "exec")
        exec(compiled, {"__name__": "__main__"})
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # No exit handlers: they belong to the parent.
        os._exit(code)


def run(block: dict[str, str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            run_in_child(block, output, errors)
        _, status = os.waitpid(child, 0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        output.seek(0)
        errors.seek(0)
        return {
            "code": code,
            "output": output.read().decode("utf-8", "replace"),
            "errors": errors.read().decode("utf-8", "replace"),
        }


def main() -> None:
    import tensorflow.compat.v1 as tf

    assert tf.__version__
    answers = os.fdopen(os.dup(1), "w")
    # What TensorFlow prints must not reach the answers.
    os.dup2(2, 1)
    for line in iter(sys.stdin.readline, ""):
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
