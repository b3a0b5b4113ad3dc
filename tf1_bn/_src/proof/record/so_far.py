# SPDX-License-Identifier: Apache-2.0
"""Keeps on disk what is recorded so far: a program of days may be killed at any moment."""

from __future__ import annotations

import os
import threading
import time
from typing import Callable

from .seen import Seen

# Writing may take so many seconds, and from then on this part of the program's time.
_FREE_SECONDS, _SHARE = 5.0, 0.1


def is_worth_keeping(calls: list[Seen], needs_steps: bool) -> bool:
    """Whether there is anything that a recording is made for."""
    return any(seen.steps or not needs_steps for seen in calls)


def kept_so_far(
    calls: list[Seen], write: Callable[[], None], needs_steps: bool
) -> Callable[[bool], None]:
    """Returns what calls `write` if there is more to write than the last time.

    It takes whether to write at once; else it waits while writing has taken too much of the time.
    In a process forked from this one it does nothing: the file is this one's. Any thread may call
    it.

    Args:
      calls: what is noted, a list that grows.
      write: raises nothing.
      needs_steps: calls without steps are not worth a file.
    """
    process, lock = os.getpid(), threading.Lock()
    written, spent, started = _extent([]), 0.0, time.monotonic()

    def keep(at_once: bool) -> None:
        nonlocal written, spent
        now, extent = time.monotonic(), _extent(calls)
        may_write = at_once or spent <= _FREE_SECONDS + _SHARE * (now - started)
        if extent == written or not may_write or os.getpid() != process:
            return
        if not is_worth_keeping(calls, needs_steps) or not lock.acquire(blocking=at_once):
            return
        try:
            write()
            written, spent = extent, spent + time.monotonic() - now
        finally:
            lock.release()

    return keep


def _extent(calls: list[Seen]) -> tuple[int, ...]:
    """How much is noted; the same where nothing new is."""
    return (
        len(calls),
        sum(len(seen.steps) for seen in calls),
        sum(seen.runs > 0 for seen in calls),
        sum(seen.update_runs > 0 for seen in calls),
    )
