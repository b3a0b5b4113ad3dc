# SPDX-License-Identifier: Apache-2.0
"""Which graphs and checkpoints stand under a path; only names are read."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ..files.text_table import counted

SAVED_MODEL = "saved_model.pb"
# The files of a checkpoint that hold its values.
VALUES = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")
_KEPT = (".meta", ".index", ".pb")
_MOST_ENTRIES, _MOST_PLACES = 100_000, 100


class Places(NamedTuple):
    """Paths to examine, a line for each folder that cannot be read, and what was left out."""

    paths: tuple[str, ...]
    lost: tuple[str, ...] = ()
    limit: str = ""


def places_of(path: str) -> Places:
    """What is to be examined: `path`, or what is found in the folder and below it.

    A SavedModel is one place, and so is a checkpoint with its graph. Links to folders are not
    followed, and hidden folders are left out.
    """
    if not os.path.isdir(path) or os.path.isfile(os.path.join(path, SAVED_MODEL)):
        return Places((path,))
    found: list[str] = []
    lost: list[str] = []
    waiting, seen = [path], 0
    while waiting and seen < _MOST_ENTRIES:
        folder = waiting.pop()
        try:
            names, folders, number = _entries(folder, _MOST_ENTRIES - seen)
        except OSError as error:
            lost.append(f"cannot read {folder}: {error.strerror or error}")
            continue
        seen += number
        if SAVED_MODEL in names and folder != path:
            found.append(folder)
            continue
        found += [os.path.join(folder, n) if n else folder for n in _of_one_folder(names)]
        waiting += [os.path.join(folder, name) for name in sorted(folders, reverse=True)]
    return Places(tuple(found[:_MOST_PLACES]), tuple(lost), _limit(found, seen))


def _entries(folder: str, most: int) -> tuple[list[str], list[str], int]:
    """Names that may matter, and those of folders, among the first `most`; and how many of all."""
    names, folders, number = [], [], 0
    with os.scandir(folder) as entries:
        for entry in entries:
            number += 1
            if _is_folder(entry):
                folders += [] if entry.name.startswith(".") else [entry.name]
            elif entry.name.endswith(_KEPT) or entry.name == "checkpoint":
                names.append(entry.name)
            if number >= most:
                break
    return sorted(names), folders, number


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _of_one_folder(names: list[str]) -> list[str]:
    """Each graph and checkpoint once; "" for the latest of those that a state file lists."""
    prefixes = [VALUES.sub("", name) for name in names if name.endswith(".index")]
    prefixes += [name[: -len(".meta")] for name in names if name.endswith(".meta")]
    graphs = [name for name in names if name.endswith(".pb")]
    if "checkpoint" in names and prefixes:
        return ["", *graphs]
    known = set(names)
    files = [f"{p}.index" if f"{p}.index" in known else f"{p}.meta" for p in prefixes]
    return [*dict.fromkeys(files), *graphs]


def _limit(found: list[str], seen: int) -> str:
    said = []
    if len(found) > _MOST_PLACES:
        said.append(f"only the first {_MOST_PLACES} of {len(found)} were examined")
    if seen >= _MOST_ENTRIES:
        said.append(f"the search ended after {counted(seen, 'name')}")
    return ", and ".join(said)
