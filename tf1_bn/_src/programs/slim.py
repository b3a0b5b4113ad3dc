# SPDX-License-Identifier: Apache-2.0
"""The names that TF-Slim 1.1.0 looks up in TensorFlow and that are gone from there.

Private names, and why: slim takes functions from `tensorflow.python.ops` and `.framework` modules
that no longer hold them, such as `control_flow_ops.cond`. Each lives on in the public API, so it is
put back under its old name, only if missing, only when slim is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, Callable

from ..runtime.after_import import around_import
from ..runtime.tensorflow_v1 import tf
from .places import Ledger, attribute

# By the module below `tensorflow.python`: all that slim's files, its own tests included, ask for.
_ALIASES: dict[str, dict[str, Any]] = {
    "framework.ops": {"Tensor": tf.Tensor, "IndexedSlices": tf.IndexedSlices},
    "ops.array_ops": {"stack": tf.stack, "unstack": tf.unstack},
    "ops.control_flow_ops": {
        "Assert": tf.Assert,
        "case": tf.case,
        "cond": tf.cond,
        "while_loop": tf.while_loop,
    },
    "ops.variable_scope": {
        "variable": tf.Variable,
        "disable_resource_variables": tf.disable_resource_variables,
        "enable_resource_variables": tf.enable_resource_variables,
        "resource_variables_enabled": tf.resource_variables_enabled,
    },
    "ops.variables": {"VariableV1": tf.Variable},
}


def serve_slim() -> Callable[[], None]:
    """Puts the names there when `tf_slim` is imported, at once if it was.

    Returns:
      What takes them away again.

    Raises:
      ImportError: `tf_slim` is there, and this TensorFlow lacks a module that it needs.
    """
    ledger = Ledger()

    def place() -> None:
        ledger.place(
            attribute(module, name, value)
            for module, names in [(_home(home), names) for home, names in _ALIASES.items()]
            for name, value in names.items()
            if not hasattr(module, name)
        )

    with contextlib.ExitStack() as undo:
        undo.callback(ledger.clear)
        if "tf_slim" in sys.modules:
            place()
        else:
            undo.callback(around_import("tf_slim", before=place))
        return undo.pop_all().close


def _home(home: str) -> Any:
    name = f"tensorflow.python.{home}"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"TF-Slim needs `{name}`, and this TensorFlow has no such module ({error}). "
            "tf1_bn.contrib.batch_norm has slim.batch_norm's arguments and needs no TF-Slim."
        ) from error
