# SPDX-License-Identifier: Apache-2.0
"""Old graphs on new TensorFlow, and new graphs on old: two attributes of fused batch norm."""

from __future__ import annotations

from ._src.repair import (
    Repair,
    repair_graph,
    repair_graph_def,
    repair_meta_graph,
    repair_meta_graph_def,
    repair_saved_model,
)

__all__ = [
    "Repair",
    "repair_graph",
    "repair_graph_def",
    "repair_meta_graph",
    "repair_meta_graph_def",
    "repair_saved_model",
]


def __dir__() -> list[str]:
    return __all__
