# SPDX-License-Identifier: Apache-2.0
"""Proof of a migration: record on the old TensorFlow, verify on the new, compare two builds.

`load_recording`, the reports and the tolerances import no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._src.runtime.after_import import import_first as _import_first

if TYPE_CHECKING:
    from ._src.proof.parity.parity import assert_parity, check_parity
    from ._src.proof.record.recorder import Recorder, record
    from ._src.proof.recording.archive import RecordingError
    from ._src.proof.recording.recording import Call, Recording, Step, load_recording
    from ._src.proof.report.report import Report, Section
    from ._src.proof.report.rows import Row
    from ._src.proof.structure import compare_structure
    from ._src.proof.verify.verifier import verify

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
    "Call": "proof.recording.recording",
    "Recorder": "proof.record.recorder",
    "Recording": "proof.recording.recording",
    "RecordingError": "proof.recording.archive",
    "Report": "proof.report.report",
    "Row": "proof.report.rows",
    "Section": "proof.report.report",
    "Step": "proof.recording.recording",
    "assert_parity": "proof.parity.parity",
    "check_parity": "proof.parity.parity",
    "compare_structure": "proof.structure",
    "load_recording": "proof.recording.recording",
    "record": "proof.record.recorder",
    "verify": "proof.verify.verifier",
}

_PURE = ("proof.recording.", "proof.report.")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _HOMES[name].startswith(_PURE):
        _import_first("tensorflow")
    return getattr(importlib.import_module(f"._src.{_HOMES[name]}", __package__), name)


def __dir__() -> list[str]:
    return __all__
