# SPDX-License-Identifier: Apache-2.0
"""What the machine and its TensorFlow can do, asked in one place."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
from typing import Iterator

from ..plan.costs import Machine
from .tensorflow_v1 import tf, tf_version

# From this release on the CPU's FusedBatchNorm runs NCHW; before, only a GPU's does.
_NCHW_ON_CPU_SINCE = (2, 3)
# With oneDNN its gradient is quick: an option first, then the default of Linux on x86.
_ONEDNN_SINCE = (2, 5)
_ONEDNN_BY_DEFAULT_SINCE = (2, 9)

_in_force: list[Machine] = []


def machine() -> Machine:
    """The machine that kernels are chosen for: this one, or what `as_on` puts in its place."""
    return _in_force[-1] if _in_force else _this_machine()


@contextlib.contextmanager
def as_on(other: Machine) -> Iterator[None]:
    """Inside, in every thread, kernels are chosen as on `other`; for tests and benchmarks."""
    _in_force.append(other)
    try:
        yield
    finally:
        _in_force.pop()


@functools.lru_cache(maxsize=None)
def _this_machine() -> Machine:
    version = tf_version()
    gpu = bool(tf.config.experimental.list_physical_devices("GPU"))
    return Machine(
        nchw_runs=gpu or version >= _NCHW_ON_CPU_SINCE,
        quick=gpu or _has_onednn(version),
        no_channels=version >= (2, 0),
        float16_row=version >= (2, 0),
        vectors=not gpu and _has_onednn(version),
    )


def _has_onednn(version: tuple[int, int]) -> bool:
    wish = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower()
    if wish:
        return wish in ("1", "true") and version >= _ONEDNN_SINCE
    by_default = platform.machine().lower() in ("x86_64", "amd64") and os.name == "posix"
    return by_default and sys.platform != "darwin" and version >= _ONEDNN_BY_DEFAULT_SINCE
