"""Forces a kernel at any size, for tests whose inputs are too small to get it."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator
from unittest import mock

# The fused op, or elementary ops on rows of columns.
KERNELS = ("fused", "columns")


@contextlib.contextmanager
def forced(kernel: str) -> Iterator[None]:
    """Inside, every size counts as large enough for `kernel`; "" leaves the choice alone."""
    from tf1_bn._src.api import layer
    from tf1_bn._src.contrib import batch_norm as contrib
    from tf1_bn._src.plan import kernel_choice
    from tf1_bn._src.runtime import tensorflow_v1

    host = tensorflow_v1.host()._replace(quick=kernel == "fused")
    changes: dict[str, Any] = {"_smallest": lambda *_: 0, "GHOST_SLICE": 0}
    if kernel == "columns":
        # Two rows beside each other where channels are last.
        changes = {"COLUMN_ELEMENTS": 0, "SIDE_BY_SIDE_ELEMENTS": 0, "COLUMN_ROWS": 0}
        changes["COLUMN_WIDTH"] = 9
    with contextlib.ExitStack() as stack:
        if kernel:
            for module in (layer, contrib):
                stack.enter_context(mock.patch.object(module, "host", lambda: host))
            for name, value in changes.items():
                stack.enter_context(mock.patch.object(kernel_choice, name, value))
        yield
