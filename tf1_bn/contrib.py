# SPDX-License-Identifier: Apache-2.0
"""`tf.contrib.layers.batch_norm`, which is also `slim.batch_norm`, without contrib."""

from __future__ import annotations

from ._src.runtime.after_import import import_first as _import_first

_import_first("tensorflow")

from ._src.contrib.batch_norm import batch_norm  # noqa: E402
from ._src.doctor.running.unasked import begin as _begin  # noqa: E402

__all__ = ["batch_norm"]

_begin()


def __dir__() -> list[str]:
    return __all__
