# SPDX-License-Identifier: Apache-2.0
"""How far long work is, on stderr, where a person watches; nothing into files and pipes."""

from __future__ import annotations

import sys
import time

_SECONDS = 0.5


class Progress:
    """Counts steps; after a moment shows the count on one line of a terminal."""

    def __init__(self, done: str, things: str, total: int) -> None:
        self._done, self._things, self._total = done, things, total
        self._count = 0
        self._last = time.monotonic()
        self._shown = False

    def step(self) -> None:
        self._count += 1
        now = time.monotonic()
        if sys.stderr is None or not sys.stderr.isatty() or now - self._last < _SECONDS:
            return
        self._last, self._shown = now, True
        text = f"\rtf1_bn: {self._done} {self._count} of {self._total} {self._things}"
        print(text, end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Clears the line."""
        if self._shown:
            print(f"\r{'':78}\r", end="", file=sys.stderr, flush=True)
