# SPDX-License-Identifier: Apache-2.0
"""Two names that TF-Slim 1.1.0 looks up in TensorFlow and that are gone from there.

Private names, and why: slim asks for `tensorflow.python.framework.ops.Tensor` to tell constants,
and calls `tensorflow.python.ops.control_flow_ops.cond`. Both live on as `tf.Tensor` and `tf.cond`,
so they are put back under the old names, only if missing, only when slim is imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from typing import Any

from .._compat import tf
from .places import Ledger, Move, attribute

_ALIASES = (
    ("tensorflow.python.framework.ops", "Tensor", tf.Tensor),
    ("tensorflow.python.ops.control_flow_ops", "cond", tf.cond),
)


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
            for module, name, value in ((_home(home, name), name, v) for home, name, v in _ALIASES)
            if not hasattr(module, name)
        )


def _home(home: str, name: str) -> Any:
    try:
        return importlib.import_module(home)
    except ImportError as error:
        raise ImportError(
            f"TF-Slim needs `{home}.{name}`, and this TensorFlow has no such module ({error}). "
            "tf1_bn.contrib.batch_norm has slim.batch_norm's arguments and needs no TF-Slim."
        ) from error
