# SPDX-License-Identifier: Apache-2.0
"""Old graphs on new TensorFlow, and new graphs on old: two attributes of fused batch norm."""

from __future__ import annotations

from ._src.runtime.after_import import import_first as _import_first

_import_first("tensorflow")

from ._src.repair import (  # noqa: E402
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
