# SPDX-License-Identifier: Apache-2.0
"""Where batch normalization is found that a program may call: TensorFlow's own, contrib's, ours.

Names of other packages, and why: `tf.layers` is the original that a recording is a record of, and
`tensorflow.contrib.layers` and `tf_slim` hold the function that slim programs call.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any, Callable

from ...api.layer import BatchNormalization
from ...contrib.batch_norm import batch_norm
from ...runtime.tensorflow_v1 import tf, tf_version
from .seen import Seen

_FUNCTION = "batch_norm"


def original_layers() -> list[Any]:
    """`tf.layers.BatchNormalization` where it exists and is not this package's."""
    try:
        original = tf.layers.BatchNormalization
    except (AttributeError, ImportError):
        # Keras 3 took the place of tf.layers.
        return []
    return [] if original is BatchNormalization else [original]


def original_functions() -> list[Any]:
    """The `batch_norm` functions of contrib and TF-Slim, as decorated there."""
    found = []
    if tf_version() < (2, 0):
        found.append(_imported("tensorflow.contrib.layers"))
    # TF-Slim does not import on every TensorFlow, and a program that needs it says so itself.
    if "tf_slim" in sys.modules or importlib.util.find_spec("tf_slim") is not None:
        found.append(_imported("tf_slim"))
    return [function for function in found if function is not None]


def _imported(module: str) -> Any:
    try:
        return getattr(importlib.import_module(module), _FUNCTION, None)
    except Exception:
        return None


def replace_inside(function: Any, make: Callable[[Any], Any]) -> Callable[[], None] | None:
    """Replaces the plain function inside a decorated one by what `make` makes of it.

    Its arguments are the final ones, an arg scope's included, and whoever holds the decorated
    function keeps it. Returns what undoes this, None where there is nothing inside.
    """
    for cell in getattr(function, "__closure__", None) or ():
        inner = cell.cell_contents
        if not isinstance(inner, types.FunctionType):
            continue
        if inner.__name__ == _FUNCTION and inner.__closure__ is None:
            cell.cell_contents = make(inner)

            def undo(cell: Any = cell, inner: Any = inner) -> None:
                cell.cell_contents = inner

            return undo
        deeper = replace_inside(inner, make)
        if deeper is not None:
            return deeper
    return None


def made_anew(seen: Seen) -> Callable[..., Any]:
    """What makes the call anew: `batch_norm` itself, or a function that makes such a layer."""
    if seen.kind == "contrib":
        # This package's, or one that `original_functions` looked into.
        ours = seen.maker == batch_norm.__module__
        made: Callable[..., Any] = batch_norm if ours else _imported(seen.maker)
        return made

    def layer(x: Any, training: Any, **arguments: Any) -> Any:
        return seen.maker(**arguments)(x, training=training)

    return layer
