# SPDX-License-Identifier: Apache-2.0
"""Runs the program of `verify` in a process of its own, and gives what it built.

A replay needs a TensorFlow that nobody has touched, and a program may switch it to another
behaviour, hold all memory of the GPU, or end its process; so the two never share one.
`start` is what that other process does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

from ..files import same_package
from ..files.streams import carried_out
from ..programs.program import ProgramFailed
from .listening import ended_by, listened
from .options import INTERRUPTED

if TYPE_CHECKING:
    from ..doctor.programs.telling import Told
    from ..proof.record.recorder import Recorder
    from ..proof.recording.recording import Recording

_REQUEST, _REBUILT, _ENDED = "request.json", "rebuilt.npz", "ended.json"


def rebuilt(parsed: Any, output_to_stderr: bool) -> tuple[Recording | None, str]:
    """Runs the program of a parsed command line, and returns what it built and how it failed.

    Args:
      parsed: with plain values, but for `command`.
      output_to_stderr: standard output is wanted for something else.

    Returns:
      None if nothing is known of what it built; and a sentence, "" if it came to a good end.
      What the doctor says of it is kept as `parsed.told`, a list of lines and code, or None.

    Raises:
      KeyboardInterrupt: the program was interrupted.
      SystemExit: a signal ends this process; the program is ended first.
    """
    from ..proof.recording.recording import load_recording

    with tempfile.TemporaryDirectory(prefix="tf1_bn-") as folder, ended_by():
        request = {k: v for k, v in vars(parsed).items() if not callable(v)}
        _write(os.path.join(folder, _REQUEST), request)
        code = _run_child(folder, output_to_stderr)
        ended = _read(os.path.join(folder, _ENDED))
        failed = _killed(code) if ended is None else ended["failed"]
        parsed.cure = (ended or {}).get("cure", "")
        parsed.told = (ended or {}).get("told")
        path = os.path.join(folder, _REBUILT)
        return load_recording(path) if os.path.exists(path) else None, failed


def _run_child(folder: str, output_to_stderr: bool) -> int:
    """Starts the other process; returns the exit code, negative for a signal."""
    # sys.stderr may be a stream of somebody's own, without a file.
    output = 2 if output_to_stderr else None
    child = subprocess.Popen(same_package.command(__name__, folder), stdout=output)
    try:
        code = child.wait()
    except BaseException:
        # Ctrl-C reaches both; the program has its own end to come to.
        child.terminate()
        try:
            child.wait()
        except BaseException:
            # Asked twice.
            child.kill()
            child.wait()
            raise
        raise
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code


def _killed(code: int) -> str:
    """How a program failed that could not say so any more."""
    if code < 0:
        # Only some real-time signals have names.
        names = {int(number): number.name for number in signal.Signals}
        return f"the program was killed by {names.get(-code, f'signal {-code}')}"
    return f"the program ended its process with exit code {code}" if code else ""


def _read(path: str) -> Any:
    """What `_write` wrote; None for nothing."""
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as opened:
        return json.load(opened)


def _write(path: str, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as opened:
        json.dump(value, opened)


def start(folder: str) -> int:
    """In the process of its own: runs the program, and returns the exit code."""
    return carried_out(lambda given: _rebuild(given[0]), [folder])


def _rebuild(folder: str) -> int:
    """Runs the program, and leaves what is known of it in the folder."""
    parsed = argparse.Namespace(**_read(os.path.join(folder, _REQUEST)))

    def make() -> Recorder:
        from ..proof.record.enough import Limits
        from ..proof.record.recorder import Recorder

        # What is built and run; no step is needed.
        return Recorder(os.path.join(folder, _REBUILT), Limits(steps=0))

    def note(
        recorder: Recorder | None, failed: ProgramFailed | None, told: Told | None = None
    ) -> None:
        # What would have spared the program its error is told last of all.
        why = str(failed) if failed is not None and failed.code else ""
        ended = {"failed": why, "cure": vars(parsed).get("cure", ""), "told": told}
        _write(os.path.join(folder, _ENDED), ended)

    process = os.getpid()
    recorder, failed, told = listened(parsed, make, leaving=note)
    # A forked child at its end leaves its parent's folder alone.
    if os.getpid() == process:
        note(recorder, failed, told)
    return 0 if failed is None else failed.code
