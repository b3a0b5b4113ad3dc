# SPDX-License-Identifier: Apache-2.0
"""TF1's graph-mode batch normalization on the public `tensorflow.compat.v1` API, without Keras."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import contrib, repair, testing
    from .functional import batch_normalization
    from .layer import BatchNormalization
    from .legacy.install import install, uninstall
    from .renorm import renorm_schedule
    from .train_op import minimize, update_ops_for

__all__ = [
    "BatchNormalization",
    "batch_normalization",
    "contrib",
    "install",
    "minimize",
    "renorm_schedule",
    "repair",
    "testing",
    "uninstall",
    "update_ops_for",
]

_SUBMODULES = ("contrib", "repair", "testing")

_HOMES = {
    "install": "legacy.install",
    "uninstall": "legacy.install",
    "BatchNormalization": "layer",
    "batch_normalization": "functional",
    "minimize": "train_op",
    "renorm_schedule": "renorm",
    "update_ops_for": "train_op",
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
