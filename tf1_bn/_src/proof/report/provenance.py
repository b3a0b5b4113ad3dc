# SPDX-License-Identifier: Apache-2.0
"""Where a report comes from: which file was verified, when, and by which command."""

from __future__ import annotations

import datetime
import hashlib
import os
import shlex
from typing import Sequence


def provenance(recording: str, command: Sequence[str]) -> dict[str, str]:
    """Returns a report's facts about its own making.

    Args:
      recording: the path of the file that was verified.
      command: the words of the command line.
    """
    now = datetime.datetime.now(datetime.timezone.utc).astimezone()
    return {
        "recording": f"{os.path.basename(recording)}, SHA-256 {_sha256(recording)}",
        "date": now.isoformat(sep=" ", timespec="seconds"),
        "command": " ".join(map(shlex.quote, command)),
    }


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as opened:
            for block in iter(lambda: opened.read(2**20), b""):
                digest.update(block)
    except OSError as error:
        # It has been read before, and what was read can be judged.
        return f"unknown ({error.strerror or error})"
    return digest.hexdigest()
