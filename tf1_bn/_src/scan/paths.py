# SPDX-License-Identifier: Apache-2.0
"""Which files are meant: those that are named, and the `.py` files below folders that are."""

from __future__ import annotations

import os
from typing import Iterator, NamedTuple, Sequence

from .rules.finding import Finding

# What tools put into a project, not its authors; besides all that begins with a dot.
_FOREIGN = ("__pycache__", "node_modules", "site-packages")


class Listing(NamedTuple):
    """The files to read, in order and each once, and a finding for each path that leads nowhere."""

    files: Sequence[str]
    lost: Sequence[Finding]


def listing_of(paths: Sequence[str]) -> Listing:
    """Finds the files; links to folders are not followed below a path, so there is an end."""
    files: dict[str, str] = {}
    lost: list[Finding] = []
    for path in paths:
        found = _below(path, lost) if os.path.isdir(path) else [path]
        for each in found:
            files.setdefault(os.path.abspath(each), os.path.normpath(each) if each else each)
    return Listing(list(files.values()), lost)


def _below(top: str, lost: list[Finding]) -> Iterator[str]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        folders, files = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        folders.append(entry)
                    elif entry.name.endswith(".py"):
                        files.append(entry.path)
        except OSError as error:
            text = f"could not be read: {error.strerror or error}"
            lost.append(Finding(os.path.normpath(folder), 1, 1, "BN001", text))
        yield from sorted(files)
        wanted = sorted(each.path for each in folders if _is_of_project(each))
        waiting += reversed(wanted)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and entry.is_dir())
    except OSError:
        # A link to itself, for one; who opens it says so.
        return False


def _is_of_project(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink() or entry.name.startswith(".") or entry.name in _FOREIGN:
        return False
    # A virtual environment.
    return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
