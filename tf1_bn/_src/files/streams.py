# SPDX-License-Identifier: Apache-2.0
"""What a command tells on standard output and standard error, also where nobody can hear it.

A full disk or a reader that is gone is no reason for a traceback, and never turns a failure into
a success.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Callable, Sequence

from .terminal import width_of

_CANNOT_TELL = 2


_START = "tf1_bn: "


def room_of(stream: Any) -> int | None:
    """The columns that a line of `say` has on the terminal of `stream`; None where that is none."""
    width = width_of(stream)
    return None if width is None else max(width - len(_START), 1)


def say(text: str, start: str = _START) -> None:
    """One line on standard error; where that is closed or full, nobody can be told."""
    stream = _stream("stderr")
    if stream is None:
        return
    try:
        print(_encodable(f"{start}{text}", stream), file=stream, flush=True)
    except Exception:
        # The stream may be a program's own, and raise anything.
        _let_go(stream)


def reason(error: Exception) -> str:
    """Returns what an operating system's error says, without the number and the path."""
    return getattr(error, "strerror", None) or str(error)


def put(text: str | bytes, code: int) -> int:
    """Writes `text` to standard output, all of it now, and returns the command's exit code.

    Bytes are written as they are, whatever the stream's encoding.
    That is `code`, but for a success that could not be told: 2. A reader that has gone, such as
    `head`, has read what it wanted, and `code` stays.
    """
    stream = _stream("stdout")
    if not text and (stream is None or getattr(stream, "closed", False)):
        return code
    try:
        if stream is None:
            raise OSError("it is closed")
        # Nothing, written to a file that is closed, is an error as well.
        if text:
            _write(text, stream)
        stream.flush()
    except Exception as error:
        # Of a closed stream it is a ValueError, of a program's own it may be anything.
        _let_go(stream)
        say(f"cannot write to standard output: {reason(error)}")
        return code if isinstance(error, BrokenPipeError) else code or _CANNOT_TELL
    return code


def carried_out(command: Callable[[Sequence[str]], int], given: Sequence[str]) -> int:
    """Runs a command, flushes what it or a program it ran has printed; returns the exit code."""
    try:
        code = command(given)
    except SystemExit as stop:
        # argparse's, after its help or its error.
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            say(stop.code)
    return put("", code)


def _write(text: str | bytes, stream: Any) -> None:
    below = getattr(stream, "buffer", None)
    if isinstance(text, bytes) and below is not None:
        stream.flush()
        below.write(text)
    else:
        plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        stream.write(_encodable(plain, stream))


def _stream(name: str) -> Any:
    """`sys.stdout` or `sys.stderr`; Python's own again where a program left what is none.

    Python itself flushes both at its end, and would make a failure of a success.
    """
    stream = getattr(sys, name)
    whole = callable(getattr(stream, "write", None)) and callable(getattr(stream, "flush", None))
    # None says that there is none.
    if stream is not None and not whole:
        setattr(sys, name, getattr(sys, f"__{name}__"))
    return getattr(sys, name)


def _encodable(text: str, stream: Any) -> str:
    """`text` with escapes for what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _let_go(stream: Any) -> None:
    """Lets what is left in the buffer go nowhere; Python would try it again at its end."""
    with contextlib.suppress(Exception):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
