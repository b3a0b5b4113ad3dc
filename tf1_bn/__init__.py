# SPDX-License-Identifier: Apache-2.0
"""TF1's graph-mode batch normalization on the public `tensorflow.compat.v1` API, without Keras."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from ._src.runtime.after_import import after_import as _after_import
from ._src.runtime.after_import import import_first as _import_first
from ._src.version import __version__ as __version__

if TYPE_CHECKING:
    from . import contrib, repair, testing
    from ._src.api.functional import batch_normalization
    from ._src.api.layer import BatchNormalization
    from ._src.api.sync_layer import SyncBatchNormalization
    from ._src.api.train_op import minimize, update_ops_for
    from ._src.call.updates import updates
    from ._src.doctor.check import assert_wired, check
    from ._src.doctor.running.health import health
    from ._src.doctor.running.hook import StatisticsHook
    from ._src.kernels.renorm import renorm_schedule
    from ._src.programs.install import install, uninstall
    from ._src.rescue.averages.recalibrate import recalibrate
    from ._src.rescue.export.export import export_inference
    from ._src.rescue.export.report import ExportReport
    from ._src.scaling.batch_statistics import BatchStatistics, merge_statistics
    from ._src.scaling.merging import cross_replica
    from ._src.scaling.towers import run_towers

__all__ = [
    "BatchNormalization",
    "BatchStatistics",
    "ExportReport",
    "StatisticsHook",
    "SyncBatchNormalization",
    "assert_wired",
    "batch_normalization",
    "check",
    "contrib",
    "cross_replica",
    "export_inference",
    "health",
    "install",
    "merge_statistics",
    "minimize",
    "recalibrate",
    "renorm_schedule",
    "repair",
    "run_towers",
    "testing",
    "uninstall",
    "update_ops_for",
    "updates",
]

_SUBMODULES = ("contrib", "repair", "testing")

# The names by which a program gets at a layer.
_LAYERS = ("BatchNormalization", "SyncBatchNormalization", "batch_normalization", "install")

_HOMES = {
    "install": "programs.install",
    "uninstall": "programs.install",
    "BatchNormalization": "api.layer",
    "BatchStatistics": "scaling.batch_statistics",
    "ExportReport": "rescue.export.report",
    "StatisticsHook": "doctor.running.hook",
    "SyncBatchNormalization": "api.sync_layer",
    "assert_wired": "doctor.check",
    "batch_normalization": "api.functional",
    "check": "doctor.check",
    "cross_replica": "scaling.merging",
    "export_inference": "rescue.export.export",
    "health": "doctor.running.health",
    "merge_statistics": "scaling.batch_statistics",
    "minimize": "api.train_op",
    "recalibrate": "rescue.averages.recalibrate",
    "renorm_schedule": "kernels.renorm",
    "run_towers": "scaling.towers",
    "update_ops_for": "api.train_op",
    "updates": "call.updates",
}


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import, so it is not until a name that needs it is used.
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _import_first("tensorflow")
    value = getattr(importlib.import_module(f"._src.{_HOMES[name]}", __name__), name)
    globals()[name] = value
    if name in _LAYERS:
        # From now on a run may train a layer and leave its averages where they are.
        importlib.import_module("._src.doctor.running.unasked", __name__).begin()
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def _register_gradients() -> None:
    """Lets graphs be differentiated that were built elsewhere, with gradients of this package."""
    # What is wrong with this TensorFlow is said where it is used; if the import was one of our
    # own files', that one registers them.
    with contextlib.suppress(ImportError, AttributeError):
        importlib.import_module("._src.scaling.gradients_by_name", __name__)


_after_import("tensorflow", _register_gradients)
