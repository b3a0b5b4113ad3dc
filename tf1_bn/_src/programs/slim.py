# SPDX-License-Identifier: Apache-2.0
"""The names that TF-Slim 1.1.0 looks up in TensorFlow and that are gone from there.

Private names, and why: slim takes functions from `tensorflow.python.ops` and `.framework` modules
that no longer hold them, such as `control_flow_ops.cond`. Each lives on in the public API, so it is
put back under its old name, only if missing, only when slim is imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from typing import Any

from ..runtime.tensorflow_v1 import tf
from .places import Ledger, Move, attribute

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


class SlimAliases(importlib.abc.MetaPathFinder):
    """Waits for `tf_slim` to be imported, or serves it at once if it was."""

    def __init__(self) -> None:
        self._ledger = Ledger()

    def start(self) -> None:
        if self in sys.meta_path:
            return
        sys.meta_path.insert(0, self)
        if "tf_slim" in sys.modules:
            self._place()

    def stop(self) -> None:
        """Takes the aliases away again, and no longer waits."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._ledger.release(None)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Finds nothing: being asked for tf_slim is what it is there for."""
        if name == "tf_slim":
            self._place()

    def _place(self) -> None:
        self._ledger.place(
            Move(attribute(module, name), value)
            for module, names in [(_home(home), names) for home, names in _ALIASES.items()]
            for name, value in names.items()
            if not hasattr(module, name)
        )


def _home(home: str) -> Any:
    name = f"tensorflow.python.{home}"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"TF-Slim needs `{name}`, and this TensorFlow has no such module ({error}). "
            "tf1_bn.contrib.batch_norm has slim.batch_norm's arguments and needs no TF-Slim."
        ) from error
