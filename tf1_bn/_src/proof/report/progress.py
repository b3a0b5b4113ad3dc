# SPDX-License-Identifier: Apache-2.0
"""How far long work is, on stderr, where a person watches; nothing into files and pipes."""

from __future__ import annotations

import sys
import time
from typing import Iterable, Iterator, Sized, TypeVar

from ...files.terminal import width_of
from ...files.text_table import counted

_Thing = TypeVar("_Thing")
_SECONDS = 0.5


def watched(
    things: Iterable[_Thing], done: str, what: str, of: int | None = None
) -> Iterator[_Thing]:
    """Gives each of the things; after a moment a terminal shows on one line how many are done.

    `done` and `what` are the words for it, such as "verified" and "layer call"; `of` is how many
    there are, which is asked of `things` where it is not given.
    """
    last, shown = time.monotonic(), 0
    total = len(things) if of is None and isinstance(things, Sized) else of
    try:
        for count, thing in enumerate(things, 1):
            yield thing
            now = time.monotonic()
            width = width_of(sys.stderr)
            if width is not None and now - last >= _SECONDS:
                of_all = "" if total is None else f"{count} of "
                text = f"tf1_bn: {done} {of_all}{counted(total or count, what)}"
                # A full line would go on in the next one, and stay.
                text = text if len(text) < width else f"{of_all}{total or count}"[: width - 1]
                print(f"\r{text.ljust(shown)}", end="", file=sys.stderr, flush=True)
                last, shown = now, len(text)
    finally:
        if shown:
            print(f"\r{'':{shown}}\r", end="", file=sys.stderr, flush=True)
