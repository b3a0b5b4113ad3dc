# SPDX-License-Identifier: Apache-2.0
"""Warnings that show the line of the program that runs a session."""

from __future__ import annotations

import sys
import warnings

# The packages whose frames stand between a program's run and us.
_BETWEEN = ("tf1_bn", "tensorflow", "tensorflow_core", "tensorflow_estimator", "contextlib")


def warn(text: str) -> None:
    """A UserWarning at the innermost line that is the program's own."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _package(frame.f_globals) in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
