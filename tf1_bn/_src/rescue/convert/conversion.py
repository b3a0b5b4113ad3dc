# SPDX-License-Identifier: Apache-2.0
"""One conversion: read, mapped, written whole or not at all, and read back."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ...files.whole_files import check_target, is_same_file
from .formats.dispatch import check_name, outputs_of, read_source, write
from .formats.held import TORCH, Held
from .parts import Part, Row, check_norms
from .reading import parts_of
from .targets import target_of
from .writing import rows_of


class Wish(NamedTuple):
    """What a user asks for.

    Attributes:
      source: a path.
      target: one of `words.NAMES`.
      out: a path; None to write nothing.
      renames: of keys: a pattern, and what it becomes.
      words: of keys after that: a pattern, and what such an array is.
      epsilon: None for the graph's.
      overwrite: whether OUT may be replaced.
    """

    source: str
    target: str
    out: str | None
    renames: Sequence[tuple[str, str]]
    words: Sequence[tuple[str, str]]
    epsilon: float | None
    overwrite: bool


class Done(NamedTuple):
    """The mapping, what it was made of, and the greatest difference of what was read back."""

    rows: list[Row]
    parts: list[Part]
    held: Held
    difference: float | None


def converted(wish: Wish) -> Done:
    """Carries out a conversion.

    Raises:
      OSError: something cannot be read or written.
      ValueError: the source is damaged or foreign, no rule fits a key, or OUT is not to be written.
      ImportError: what reads or writes a format is missing.
    """
    if wish.out is not None:
        _check_out(wish, wish.out, ())
    held = _renamed(read_source(wish.source), wish.renames)
    if wish.out is not None:
        _check_out(wish, wish.out, held.files)
    if wish.target == held.kind == TORCH:
        raise ValueError(f"{wish.source} is a state dict of PyTorch already")
    parts, unmatched = parts_of(held, _word(wish.words), wish.epsilon)
    check_norms(parts, wish.source)
    target = target_of(wish.target, held.kind, flat=not (wish.out or "").endswith(".npz"))
    rows = rows_of(parts, target, wish.target == TORCH, unmatched, len(held.arrays))
    difference = None
    if wish.out is not None:
        arrays = {row.target: row.array for row in rows if row.target is not None}
        difference = _written(wish.target, os.path.realpath(wish.out), arrays)
    return Done(rows, parts, held, difference)


def _renamed(held: Held, renames: Sequence[tuple[str, str]]) -> Held:
    def name(key: str) -> str:
        for pattern, new in renames:
            key = re.sub(pattern, new, key)
        return key

    arrays: dict[str, Any] = {}
    for key, array in held.arrays.items():
        if name(key) in arrays:
            raise ValueError(f"--rename gives {name(key)} to {key} and to another key")
        arrays[name(key)] = array
    # A layer's name is that of its variables without the last word.
    settings = {name(f"{scope}/").rstrip("/"): each for scope, each in held.settings.items()}
    return held._replace(arrays=arrays, settings=settings)


def _word(words: Sequence[tuple[str, str]]) -> Any:
    def word(key: str) -> str | None:
        return next((said for pattern, said in words if re.fullmatch(pattern, key)), None)

    return word


def _check_out(wish: Wish, out: str, sources: Sequence[str]) -> None:
    """Raises ValueError or OSError where OUT cannot, or must not, be written."""
    check_name(wish.target, out)
    real = os.path.realpath(out)
    files = outputs_of(wish.target, real)
    # A checkpoint of the first format is a file of the very name that a newer one begins with.
    read = (*sources, wish.source)
    if any(is_same_file(file, each) for file in (real, *files) for each in read):
        raise ValueError(f"{out} is the source; nothing was written")
    if os.path.isdir(real):
        raise ValueError(f"{out} is a folder; name what is to be written in it")
    for file in files:
        if os.path.exists(file) and not os.path.isfile(file):
            raise ValueError(f"{file} is there and is no file; nothing was written")
        if os.path.exists(file) and not wish.overwrite:
            raise ValueError(f"{file} exists: with --overwrite it is replaced")
        check_target(file)


def _written(target: str, out: str, arrays: Mapping[str, Any]) -> float:
    """Writes beside OUT, reads that back, and gives it the name; returns the difference."""
    folder, name = os.path.split(out)
    with _scratch(folder, name) as beside:
        path = os.path.join(beside, name)
        write(target, path, arrays)
        difference = _difference(arrays, read_source(path).arrays)
        files = outputs_of(target, path)
        if len(files) > 1:
            # Between the two, old values must not stand behind a new index, nor the reverse.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, os.path.basename(files[-1])))
        for file in files:
            os.replace(file, os.path.join(folder, os.path.basename(file)))
    return difference


@contextlib.contextmanager
def _scratch(folder: str, name: str) -> Iterator[str]:
    beside = tempfile.mkdtemp(prefix=f".{name[:40]}.", dir=folder)
    try:
        yield beside
    finally:
        shutil.rmtree(beside)


def _difference(meant: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """The greatest one, of two sets of arrays that have the same names.

    Raises:
      ValueError: they have not, or one differs in shape.
    """
    if set(meant) != set(found):
        lost = sorted(set(meant) ^ set(found))
        raise ValueError(f"what was written reads back otherwise: {', '.join(lost[:5])}")
    greatest = 0.0
    for name, array in meant.items():
        first, second = np.asarray(array), np.asarray(found[name])
        if first.shape != second.shape:
            raise ValueError(f"what was written reads back otherwise: {name}")
        if first.dtype.kind in "OSU":
            greatest = max(greatest, 0.0 if np.array_equal(first, second) else np.inf)
        elif first.size:
            apart = np.abs(first.astype(np.float64) - second.astype(np.float64))
            greatest = max(greatest, float(np.max(np.where(first == second, 0.0, apart))))
    return greatest
