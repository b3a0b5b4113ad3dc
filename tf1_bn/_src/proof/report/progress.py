# SPDX-License-Identifier: Apache-2.0
"""How far long work is, on stderr, where a person watches; nothing into files and pipes."""

from __future__ import annotations

import sys
import time
from typing import Iterator, Sequence, TypeVar

from ...files.text_table import counted

_Thing = TypeVar("_Thing")
_SECONDS = 0.5


def watched(things: Sequence[_Thing], done: str, what: str) -> Iterator[_Thing]:
    """Gives each of the things; after a moment a terminal shows on one line how many are done.

    `done` and `what` are the words for it, such as "verified" and "layer call".
    """
    last, is_shown = time.monotonic(), False
    for count, thing in enumerate(things, 1):
        yield thing
        now = time.monotonic()
        if sys.stderr is not None and sys.stderr.isatty() and now - last >= _SECONDS:
            last, is_shown = now, True
            text = f"\rtf1_bn: {done} {count} of {counted(len(things), what)}"
            print(text, end="", file=sys.stderr, flush=True)
    if is_shown:
        print(f"\r{'':78}\r", end="", file=sys.stderr, flush=True)
