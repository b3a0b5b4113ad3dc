# SPDX-License-Identifier: Apache-2.0
"""What is asked of `record`, checked before the program runs; no TensorFlow, no NumPy in here."""

from __future__ import annotations

import os
from typing import Mapping, Sequence


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
    if os.path.isdir(path):
        raise IsADirectoryError(f"`{words[0]}` must be a file and not a folder (got {path!r}).")
