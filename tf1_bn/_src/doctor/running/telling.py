# SPDX-License-Identifier: Apache-2.0
"""Warnings that show the line of the program that runs a session."""

from __future__ import annotations

import sys
import warnings
from typing import Any


def warn(text: str) -> None:
    """A UserWarning at the innermost line that is the program's own."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_between(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)


def _is_between(frame: Any) -> bool:
    """Whether it belongs to what stands between a program's run and us."""
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    # TensorFlow 1.15 and its Estimators have packages beside the one of their name.
    return package in ("tf1_bn", "contextlib") or package.startswith("tensorflow")
