"""Forces a kernel at any size, for tests whose inputs are too small to get it."""

from __future__ import annotations

from typing import Any, ContextManager

# The fused op, or elementary ops on rows of columns.
KERNELS = ("fused", "columns")


def forced(kernel: str) -> ContextManager[None]:
    """Inside, every size counts as large enough for `kernel`; "" leaves the choice alone."""
    from tf1_bn._src.runtime.tensorflow_v1 import as_on, machine

    here = machine()
    if not kernel:
        return as_on(here)
    changes: dict[str, Any] = {"fused_training": 0, "ghost_training": 0, "ghost_slice": 0}
    if kernel == "columns":
        # Two rows beside each other where channels are last.
        changes = {"column_elements": 0, "side_by_side_elements": 0, "column_rows": 0}
        # They stand in for TF1's fused op as well, where channels fill no vectors.
        changes.update(column_width=9, odd_images=0)
        here = here._replace(vectors=True)
    costs = here.costs._replace(**changes)
    return as_on(here._replace(quick=kernel == "fused", costs=costs))
