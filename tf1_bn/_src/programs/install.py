# SPDX-License-Identifier: Apache-2.0
"""`install` and `uninstall`: tf1_bn's function and class where unedited code looks for them.

Private names, and why: `tensorflow.python.layers.normalization` is where TF-Slim and the
tf_cnn_benchmarks take the class from. Modules named `...compat.v1` below `tensorflow` are found in
`sys.modules`, because the first `import tensorflow.compat.v1` may make a second one.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from typing import Any, Callable, Iterator, NamedTuple

from ..api.functional import batch_normalization
from ..api.layer import BatchNormalization
from ..runtime.tensorflow_v1 import tf, tf_version
from . import neighbours as _neighbours
from .places import Ledger, Move, Place, StandIn, attribute, is_lazy, provides
from .slim import SlimAliases

_LOG = logging.getLogger("tf1_bn")

_LAYERS = "tensorflow.compat.v1.layers"
_RNN_CELL = "tensorflow.compat.v1.nn.rnn_cell"
_NORMALIZATION = "tensorflow.python.layers.normalization"
_OURS = {"batch_normalization": batch_normalization, "BatchNormalization": BatchNormalization}
_OURS_IN_NORMALIZATION = {
    **_OURS,
    "batch_norm": batch_normalization,
    "BatchNorm": BatchNormalization,
}


class _Namespace(NamedTuple):
    """One public namespace such as tf.layers, with all the module objects that show it."""

    name: str
    lost: bool
    moves: list[Move]
    modules: list[Any]


_lock = threading.RLock()
_ledger = Ledger()
_slim = SlimAliases()
_found: dict[str, _Namespace] = {}


class Installation:
    """What `install` returns: leave it alone, or use it as a context manager."""

    def __init__(self, holder: int) -> None:
        self._holder = holder

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *exception: Any) -> None:
        """Takes away what this call of `install` put in place and no other call wants."""
        _release(self._holder)


def install(*, force: bool = False, neighbours: bool = False) -> Installation:
    """Puts tf1_bn's batch normalization where unedited TF1 code looks for it.

    These are `tf.compat.v1.layers.batch_normalization` and `.BatchNormalization`, however they are
    imported, before or after this call, and the same in `tensorflow.python.layers.normalization`,
    which TF-Slim uses. Other names there keep what they do; one that TensorFlow lost keeps its
    error, with a sentence that tells the way out. A module that keeps the function itself in a
    variable must be imported after this call.

    What TF-Slim 1.1.0 misses in new TensorFlow is put back when it is imported.

    Calling it again changes nothing; any thread may. `uninstall()` gives every original back. As a
    context manager, `with tf1_bn.install():`, it undoes itself at the end of the block, unless
    another call still wants it. One INFO line in the logger `tf1_bn` says what was put where.

    Args:
      force: also replace an original that works, as TensorFlow up to 2.15 and legacy Keras have.
      neighbours: also bring back the other `tf.layers` and `tf.nn.rnn_cell` where TensorFlow lost
        them. They are TensorFlow's own, taken from its private modules.

    Raises:
      ImportError: `neighbours` is asked for and this TensorFlow no longer carries them.
      TypeError: `force` or `neighbours` is no bool.
    """
    for name, value in (("force", force), ("neighbours", neighbours)):
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` must be a bool (got {value!r}).")
    with _lock:
        log: list[str] = []
        moves = [
            *_batch_normalization_moves(force, log),
            *_normalization_moves(force, log),
            *(_neighbour_moves(log) if neighbours else ()),
        ]
        holder = _ledger.place(moves)
        _slim.start()
        _LOG.info("tf1_bn.install: %s", "; ".join(log))
        return Installation(holder)


def uninstall() -> None:
    """Gives back every original, whoever installed; does nothing if nothing is installed."""
    _release(None)


def _release(holder: int | None) -> None:
    with _lock:
        _ledger.release(holder)
        if _ledger.is_empty():
            _slim.stop()
            _found.clear()


def _batch_normalization_moves(force: bool, log: list[str]) -> list[Move]:
    layers = _namespace(_LAYERS, _find_layers)
    rnn_cell = _namespace(_RNN_CELL, _find_rnn_cell)
    if not (layers.lost or force):
        log.append(f"{_LAYERS} has its own batch normalization and keeps it (force=True replaces)")
        return []
    log.append(f"{' and '.join(_OURS)} put into {_LAYERS}")
    # The stand-in of tf.nn.rnn_cell holds nothing yet: it tells the way out.
    return [*layers.moves, *_shown_in(layers, _OURS), *(rnn_cell.moves if rnn_cell.lost else ())]


def _normalization_moves(force: bool, log: list[str]) -> list[Move]:
    try:
        module = importlib.import_module(_NORMALIZATION)
    except ImportError:
        # Only code that imports this private module misses it, and that fails by itself.
        log.append(f"this TensorFlow has no {_NORMALIZATION}")
        return []
    # Where tf.layers is lost this one never works, and asking it would import legacy Keras.
    lost = _namespace(_LAYERS, _find_layers).lost
    if not (force or lost) and _original_works(module):
        log.append(f"{_NORMALIZATION} keeps its own")
        return []
    log.append(f"{', '.join(_OURS_IN_NORMALIZATION)} put into {_NORMALIZATION}")
    return [Move(attribute(module, name), ours) for name, ours in _OURS_IN_NORMALIZATION.items()]


def _original_works(module: Any) -> bool:
    ours = vars(module).get("BatchNormalization") is BatchNormalization
    return not ours and provides(module, "BatchNormalization")


def _neighbour_moves(log: list[str]) -> Iterator[Move]:
    for namespace, homes in (
        (_namespace(_LAYERS, _find_layers), _neighbours.LAYERS),
        (_namespace(_RNN_CELL, _find_rnn_cell), _neighbours.RNN_CELLS),
    ):
        if namespace.lost:
            found = _neighbours.find(homes)
            log.append(f"{len(found)} neighbours put into {namespace.name}")
            yield from namespace.moves
            yield from _shown_in(namespace, found)
        else:
            log.append(f"{namespace.name} keeps its own")


def _shown_in(namespace: _Namespace, values: dict[str, Any]) -> Iterator[Move]:
    for module in namespace.modules:
        for name, value in values.items():
            yield Move(attribute(module, name), value)


def _namespace(name: str, find: Callable[[], _Namespace]) -> _Namespace:
    if name in _found:
        return _found[name]
    namespace = find()
    if namespace.lost:
        # Kept until uninstall: from now on TensorFlow's modules show the stand-in.
        _found[name] = namespace
    return namespace


def _find_layers() -> _Namespace:
    hosts = _v1_modules()
    if not provides(tf.layers, "batch_normalization"):
        return _lost(_LAYERS, "layers", hosts, _import_aside(_LAYERS, "layers"))
    if tf_version() < (2, 0):
        # TensorFlow 1 has tf.layers besides; in TensorFlow 2 `tensorflow.layers` would be Keras'.
        hosts = [*hosts, sys.modules["tensorflow"]]
    shown = _unique([host.layers for host in hosts])
    shown += [importlib.import_module(module.__name__) for module in shown if is_lazy(module)]
    # Without it, `from tensorflow.compat.v1.layers import ...` makes one more module of that file.
    imported = sys.modules.get(_LAYERS, shown[-1])
    entry = Move(Place(sys.modules, _LAYERS, True), imported)
    return _Namespace(_LAYERS, False, [entry], _unique([*shown, imported]))


def _find_rnn_cell() -> _Namespace:
    hosts = _unique([host.nn for host in _v1_modules()])
    if provides(tf.nn.rnn_cell, "LSTMCell"):
        return _Namespace(_RNN_CELL, False, [], [])
    return _lost(_RNN_CELL, "rnn_cell", hosts, None)


def _lost(name: str, short: str, hosts: list[Any], file_module: Any) -> _Namespace:
    """A stand-in for a namespace that TensorFlow keeps as a loader which refuses every name."""
    shown = _unique([vars(host)[short] for host in hosts if short in vars(host)])
    first = vars(hosts[-1])[short]
    originals = (first,) if file_module is None else (first, file_module)
    stand_in = StandIn(name, originals, _way_out)
    moves = [Move(attribute(host, short), stand_in) for host in hosts if short in vars(host)]
    imported = [sys.modules[name]] if name in sys.modules else []
    if file_module is not None:
        moves.append(Move(Place(sys.modules, name, True), stand_in))
    return _Namespace(name, True, moves, _unique([stand_in, *shown, *imported]))


def _way_out(name: str) -> str:
    if name in _neighbours.names(_neighbours.LAYERS) | _neighbours.names(_neighbours.RNN_CELLS):
        return (
            "tf1_bn.install(neighbours=True), or `python -m tf1_bn run --neighbours`, "
            f"brings `{name}` back."
        )
    return "tf1_bn cannot bring this name back; see migration_guide/run_unmodified.md."


def _v1_modules() -> list[Any]:
    """Every module object that is `tensorflow.compat.v1` for somebody, the imported one last."""
    named = [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("tensorflow.") and name.endswith("compat.v1") and module is not None
    ]
    return [*(module for module in _unique(named) if module is not tf), tf]


def _import_aside(name: str, short: str) -> Any:
    """Imports a submodule of tensorflow.compat.v1 without leaving it there as an attribute."""
    if name in sys.modules:
        return sys.modules[name]
    before = vars(tf)[short]
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
    finally:
        setattr(tf, short, before)
        sys.modules.pop(name, None)


def _unique(modules: list[Any]) -> list[Any]:
    return list({id(module): module for module in modules}.values())
