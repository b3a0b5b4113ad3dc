# SPDX-License-Identifier: Apache-2.0
"""What is asked of `record`, checked before the program runs; no TensorFlow, no NumPy in here."""

from __future__ import annotations

import os
from typing import Mapping, Sequence

from ...files.whole_files import check_target

# The first file of each recording's archive begins so; see `recording/archive.py`.
_START = b"PK\x03\x04"
_FIRST_NAME_AT, _FIRST_NAME = 30, b"recording.json"


def check_request(
    path: str, steps: int, sizes: Mapping[str, int], words: Sequence[str] = ("path", "steps")
) -> None:
    """Raises what `record` raises; `sizes` and `words` name what is given as the user knows it."""
    for name, value in sizes.items():
        if not value > 0:
            raise ValueError(f"`{name}` must be positive (got {value!r}).")
    if steps < 1:
        raise ValueError(f"`{words[1]}` must be at least 1 (got {steps!r}).")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise FileNotFoundError(f"`{words[0]}` must be in an existing folder (got {path!r}).")
    if os.path.isdir(path) or path.endswith(os.sep):
        raise IsADirectoryError(f"`{words[0]}` must be a file and not a folder (got {path!r}).")
    if os.path.exists(path) and not _may_be_replaced(path):
        raise FileExistsError(
            f"`{words[0]}` must be a new file or an old recording: {path!r} is neither, and would "
            "be lost."
        )
    check_target(path)


def _may_be_replaced(path: str) -> bool:
    """Whether it is an empty file or a recording, though a damaged one; no other file is."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as opened:
        start = opened.read(_FIRST_NAME_AT + len(_FIRST_NAME))
    return not start or (start.startswith(_START) and start[_FIRST_NAME_AT:] == _FIRST_NAME)
