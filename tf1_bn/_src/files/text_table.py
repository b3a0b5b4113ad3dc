# SPDX-License-Identifier: Apache-2.0
"""Tables, names and counts as text for a terminal."""

from __future__ import annotations

import textwrap
from typing import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Returns a line for each row, with columns two spaces apart; all rows have as many cells.

    >>> aligned([("layer", "ratio"), ("bn", "2.5")], right=[1])
    ['layer  ratio', 'bn       2.5']
    """
    clean = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean)]
    padded = [str.rjust if column in right else str.ljust for column in range(len(widths))]
    return [
        "  ".join(pad(cell, width) for pad, cell, width in zip(padded, row, widths)).rstrip()
        for row in clean
    ]


def fitted(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Returns the table of `rows`, the first its header; where it is wider than `width`, each row
    as a paragraph of its cells, with their columns' names, and nothing is lost.

    >>> fitted([("layer", "ratio"), ("bn", "2.5")], 12)
    ['layer  ratio', 'bn     2.5']
    >>> fitted([("", "layer", "ratio"), ("X", "bn", "2.5")], 12)
    ['X layer bn,', '  ratio 2.5']
    """
    table = aligned(rows)
    if width is None or max(map(len, table), default=0) <= width:
        return table
    header, *others = ([printable(cell) for cell in row] for row in rows)
    lines = []
    for row in others:
        marks = [cell for name, cell in zip(header, row) if cell and not name]
        cells = [f"{name} {cell}" for name, cell in zip(header, row) if cell and name]
        lines += wrapped(" ".join([*marks, ", ".join(cells)]), width)
    return lines


def wrapped(line: str, width: int | None) -> list[str]:
    """Returns a line as those that it takes in `width` columns, all but the first indented.

    >>> wrapped("  note: a long one", 12)
    ['  note: a', '    long one']
    """
    if width is None or len(line) <= width:
        return [line]
    inner = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, max(width, len(inner) + 8), subsequent_indent=inner) or [line]


def printable(text: str) -> str:
    r"""Returns `text` with escapes for control characters: names come from files.

    >>> printable("a\x1b[31m")
    'a\\x1b[31m'
    """
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def counted(number: int, thing: str) -> str:
    """Returns `number` with the word for that many.

    >>> counted(1, "step"), counted(0, "step"), counted(2, "batch-norm call")
    ('1 step', '0 steps', '2 batch-norm calls')
    >>> counted(2, "batch")
    '2 batches'
    """
    ending = "es" if thing.endswith("ch") else "s"
    return f"{number} {thing if number == 1 else thing + ending}"
