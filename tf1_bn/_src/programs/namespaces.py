# SPDX-License-Identifier: Apache-2.0
"""`tf.layers` and `tf.nn.rnn_cell`: whether this TensorFlow lost them, and how to put names there.

Modules named `...compat.v1` below `tensorflow` are found in `sys.modules`, because the first
`import tensorflow.compat.v1` may make a second one.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, Iterable, Mapping, NamedTuple

from ..runtime.tensorflow_v1 import tf, tf_version
from .old_names import neighbours
from .places import Move, StandIn, attribute, is_lazy, provides

LAYERS = "tensorflow.compat.v1.layers"
_RNN_CELL = "tensorflow.compat.v1.nn.rnn_cell"


class Namespace(NamedTuple):
    """A public namespace such as tf.layers.

    Attributes:
      name: where programs import it from.
      lost: whether this TensorFlow refuses its names.
      moves: after them, every import leads to one of `modules`.
      modules: every module object that shows it; a program may have kept any of them before.
    """

    name: str
    lost: bool
    moves: list[Move]
    modules: list[Any]

    def showing(self, values: Mapping[str, Any]) -> list[Move]:
        """The moves after which everybody finds `values`, by name, in the namespace."""
        shown = [
            attribute(module, name, value)
            for module in self.modules
            for name, value in values.items()
        ]
        return [*self.moves, *shown]


# Kept while something is installed: TensorFlow's modules then show the stand-in.
@functools.lru_cache(maxsize=None)
def layers() -> Namespace:
    """`tf.layers`, lost if it has no batch normalization."""
    hosts = v1_modules()
    if not provides(tf.layers, "batch_normalization"):
        return _lost(LAYERS, hosts, _import_aside(LAYERS))
    if tf_version() < (2, 0):
        # TensorFlow 1 has tf.layers besides; in TensorFlow 2 `tensorflow.layers` would be Keras'.
        hosts = [*hosts, sys.modules["tensorflow"]]
    shown = _unique(host.layers for host in hosts)
    shown += [importlib.import_module(module.__name__) for module in shown if is_lazy(module)]
    # Without it, `from tensorflow.compat.v1.layers import ...` makes one more module of that file.
    imported = sys.modules.get(LAYERS, shown[-1])
    entry = Move(sys.modules, LAYERS, imported, is_item=True)
    return Namespace(LAYERS, False, [entry], _unique([*shown, imported]))


@functools.lru_cache(maxsize=None)
def rnn_cell() -> Namespace:
    """`tf.nn.rnn_cell`; where it is not lost there is nothing to put into it."""
    if provides(tf.nn.rnn_cell, "LSTMCell"):
        return Namespace(_RNN_CELL, False, [], [])
    return _lost(_RNN_CELL, _unique(host.nn for host in v1_modules()), None)


def forget() -> None:
    """Has both namespaces looked at again."""
    layers.cache_clear()
    rnn_cell.cache_clear()


def _lost(name: str, hosts: list[Any], file_module: Any) -> Namespace:
    """A stand-in for a namespace that TensorFlow keeps as a loader which refuses every name."""
    short = name.rpartition(".")[2]
    hosts = [host for host in hosts if short in vars(host)]
    shown = _unique(vars(host)[short] for host in hosts)
    first = vars(hosts[-1])[short]
    stand_in = StandIn(name, (first,) if file_module is None else (first, file_module), _way_out)
    moves = [attribute(host, short, stand_in) for host in hosts]
    imported = [sys.modules[name]] if name in sys.modules else []
    if file_module is not None:
        moves.append(Move(sys.modules, name, stand_in, is_item=True))
    return Namespace(name, True, moves, _unique([stand_in, *shown, *imported]))


def _way_out(name: str) -> str:
    if name in neighbours.names(neighbours.LAYERS) | neighbours.names(neighbours.RNN_CELLS):
        return (
            "tf1_bn.install(neighbours=True), or `python -m tf1_bn run --neighbours`, "
            f"brings `{name}` back."
        )
    return "tf1_bn cannot bring this name back; see migration_guide/run_unmodified.md."


def v1_modules() -> list[Any]:
    """Every module object that is `tensorflow.compat.v1` for somebody, the imported one last."""
    named = [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("tensorflow.") and name.endswith("compat.v1")
    ]
    return [module for module in _unique(named) if module not in (None, tf)] + [tf]


def _import_aside(name: str) -> Any:
    """Imports a submodule of tensorflow.compat.v1 without leaving it there as an attribute."""
    if name in sys.modules:
        return sys.modules[name]
    short = name.rpartition(".")[2]
    before = vars(tf)[short]
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
    finally:
        setattr(tf, short, before)
        sys.modules.pop(name, None)


def _unique(modules: Iterable[Any]) -> list[Any]:
    return list({id(module): module for module in modules}.values())
