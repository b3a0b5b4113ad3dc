# SPDX-License-Identifier: Apache-2.0
"""What a program finds that runs under one of the commands: `install` done, `tensorflow` aliased.

Nothing here imports TensorFlow: all is done right after the program's own import of it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import types
from typing import Any, Callable

from ..runtime.after_import import after_import
from .places import is_lazy
from .workers import prepare_workers

_OPTIONS = ("neighbours", "force", "contrib", "tf1_alias", "compat")


def prepare(options: Any, then: Callable[[], None] = lambda: None) -> contextlib.ExitStack:
    """Arranges `options` and calls `then`, once TensorFlow is imported; now if it already is.

    Workers that `multiprocessing` starts from now on have `options` arranged as well.

    Args:
      options: a parsed command line with `neighbours`, `force`, `contrib`, `tf1_alias` and
        `compat`, which stands for all of these but `force`.
      then: called when batch normalization is installed.

    Returns:
      What uninstalls again, when it is closed, what this call has installed.
    """
    undo = contextlib.ExitStack()

    def patch() -> None:
        from .install import install

        neighbours = options.neighbours or options.compat
        contrib = options.contrib or options.compat
        undo.enter_context(install(force=options.force, neighbours=neighbours, contrib=contrib))
        then()
        if options.tf1_alias or options.compat:
            _alias()

    undo.callback(after_import("tensorflow", patch))
    undo.callback(prepare_workers(__name__, {name: getattr(options, name) for name in _OPTIONS}))
    return undo


def start(options: dict[str, Any]) -> None:
    """`prepare` in a worker that a program has started, with the options of its parent."""
    prepare(argparse.Namespace(**options))


def _alias() -> None:
    """Makes `import tensorflow` give `tensorflow.compat.v1`, without v2 behaviour."""
    from ..runtime.tensorflow_v1 import tf, tf_version

    if tf_version() < (2, 0):
        return
    full = sys.modules["tensorflow"]
    if full is tf:
        return
    tf.disable_v2_behavior()
    # Submodules are still looked for where they are, and `import tensorflow.compat.v1` leads here.
    tf.__path__ = [*tf.__path__, *(path for path in full.__path__ if path not in tf.__path__)]
    tf.compat.v1 = tf
    for name in ("python", "core"):
        if not hasattr(tf, name) and f"tensorflow.{name}" in sys.modules:
            setattr(tf, name, sys.modules[f"tensorflow.{name}"])
    # `import tensorflow.layers` would make one more module of that file, and put it in the place
    # of the one that `install` filled.
    for name, module in _submodules(tf).items():
        sys.modules.setdefault(f"tensorflow.{name}", module)
    sys.modules["tensorflow"] = tf


def _submodules(tf: Any) -> dict[str, Any]:
    """The modules below `tensorflow.compat.v1` by name, none of which loads anything."""
    # Read past the attributes: asking TensorFlow's lazy loaders would make them load.
    shown = {name: value for name, value in vars(tf).items() if name != "compat"}
    shown.update({f"nn.{name}": value for name, value in vars(tf.nn).items()})
    shown = {name: sys.modules.get(f"{tf.__name__}.{name}", shown[name]) for name in shown}
    return {
        name: value
        for name, value in shown.items()
        if isinstance(value, types.ModuleType) and not is_lazy(value) and "_" not in name[:1]
    }
