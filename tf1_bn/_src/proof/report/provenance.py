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

    Raises:
      OSError: the file is not there any more.
    """
    digest = hashlib.sha256()
    with open(recording, "rb") as opened:
        for block in iter(lambda: opened.read(2**20), b""):
            digest.update(block)
    now = datetime.datetime.now(datetime.timezone.utc).astimezone()
    return {
        "recording": f"{os.path.basename(recording)}, SHA-256 {digest.hexdigest()}",
        "date": now.isoformat(sep=" ", timespec="seconds"),
        "command": " ".join(map(shlex.quote, command)),
    }
