# SPDX-License-Identifier: Apache-2.0
"""What `run` says when a program has ended; TensorFlow is imported by the program alone."""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .watch import Watch


class ExitReport:
    """Lines on standard error, behind those of the program's own exit handlers."""

    def __init__(self, counts: bool, kernels: bool) -> None:
        self._counts = counts
        self._kernels = kernels
        self._watch: Watch | None = None

    def register(self) -> None:
        """Speaks at the end of this process, after all that registers from now on."""
        if self._counts or self._kernels:
            atexit.register(self._tell, os.getpid())

    def start(self) -> None:
        """Watches layers and sessions from now on; TensorFlow has to be there."""
        from .watch import Watch

        self._watch = Watch()
        self._watch.start()

    def _tell(self, process: int) -> None:
        # A forked child that runs exit handlers has nothing to report.
        if os.getpid() != process or sys.stderr is None:
            return
        said = []
        if self._counts:
            counts = self._watch.report() if self._watch else "TensorFlow was not imported"
            said.append(f"tf1_bn: {counts}.")
        if self._kernels and self._watch:
            said.append(self._watch.kernels())
        try:
            print("\n".join(said), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            # Nobody reads stderr any more.
            return
