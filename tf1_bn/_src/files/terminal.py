# SPDX-License-Identifier: Apache-2.0
"""How wide the terminal is that somebody reads, and whether somebody is there to answer."""

from __future__ import annotations

import os
import sys
from typing import Any

_USUAL = 80


def width_of(stream: Any) -> int | None:
    """The columns of the terminal that `stream` writes to; None where that is none."""
    if not is_terminal(stream):
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told):
        return int(told)
    try:
        # A terminal that was never told its size says 0.
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL


def is_terminal(stream: Any) -> bool:
    """Whether a person is at the other end; `stream` may be None or closed."""
    try:
        return stream is not None and bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def agreed(question: str) -> bool:
    """Asks on standard error; whether the answer on standard input is yes. Ctrl-D is a no."""
    answer = ""
    try:
        print(f"tf1_bn: {question} [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):
            print(file=sys.stderr, flush=True)
    return answer.strip().lower() in ("y", "yes")
