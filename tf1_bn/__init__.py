# SPDX-License-Identifier: Apache-2.0
"""TF1's graph-mode batch normalization on the public `tensorflow.compat.v1` API, without Keras."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from .after_import import after_import as _after_import

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import contrib, repair, testing
    from .batch_statistics import BatchStatistics, merge_statistics
    from .functional import batch_normalization
    from .layer import BatchNormalization
    from .legacy.install import install, uninstall
    from .merging import cross_replica
    from .renorm import renorm_schedule
    from .sync_layer import SyncBatchNormalization
    from .towers import run_towers
    from .train_op import minimize, update_ops_for
    from .update_mode import updates

__all__ = [
    "BatchNormalization",
    "BatchStatistics",
    "SyncBatchNormalization",
    "batch_normalization",
    "contrib",
    "cross_replica",
    "install",
    "merge_statistics",
    "minimize",
    "renorm_schedule",
    "repair",
    "run_towers",
    "testing",
    "uninstall",
    "update_ops_for",
    "updates",
]

_SUBMODULES = ("contrib", "repair", "testing")

_HOMES = {
    "install": "legacy.install",
    "uninstall": "legacy.install",
    "BatchNormalization": "layer",
    "BatchStatistics": "batch_statistics",
    "SyncBatchNormalization": "sync_layer",
    "batch_normalization": "functional",
    "cross_replica": "merging",
    "merge_statistics": "batch_statistics",
    "minimize": "train_op",
    "renorm_schedule": "renorm",
    "run_towers": "towers",
    "update_ops_for": "train_op",
    "updates": "update_mode",
}


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import, so it is not until a name that needs it is used.
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register_gradients() -> None:
    """Lets graphs be differentiated that were built elsewhere, with gradients of this package."""
    # What is wrong with this TensorFlow is said where it is used; if the import was one of our
    # own files', that one registers them.
    with contextlib.suppress(ImportError, AttributeError):
        importlib.import_module(".gradients_by_name", __name__)


_after_import("tensorflow", _register_gradients)
