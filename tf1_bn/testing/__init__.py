# SPDX-License-Identifier: Apache-2.0
"""Proof of a migration: record on the old TensorFlow, verify on the new, compare two builds.

`load_recording`, the reports and the tolerances import no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .parity import assert_parity, check_parity
    from .recorder import Recorder, record
    from .recording import Call, Recording, RecordingError, Step, load_recording
    from .report import Report, Row, Section
    from .structure import compare_structure
    from .verifier import verify

__all__ = [
    "Call",
    "Recorder",
    "Recording",
    "RecordingError",
    "Report",
    "Row",
    "Section",
    "Step",
    "assert_parity",
    "check_parity",
    "compare_structure",
    "load_recording",
    "record",
    "verify",
]

_HOMES = {
    "Call": "recording",
    "Recorder": "recorder",
    "Recording": "recording",
    "RecordingError": "recording",
    "Report": "report",
    "Row": "report",
    "Section": "report",
    "Step": "recording",
    "assert_parity": "parity",
    "check_parity": "parity",
    "compare_structure": "structure",
    "load_recording": "recording",
    "record": "recorder",
    "verify": "verifier",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
