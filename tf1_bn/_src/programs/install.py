# SPDX-License-Identifier: Apache-2.0
"""`install` and `uninstall`: tf1_bn's function and class where unedited code looks for them.

Private name, and why: `tensorflow.python.layers.normalization` is where TF-Slim and the
tf_cnn_benchmarks take the class from.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import threading
from typing import Any, Callable, NoReturn

from ..api.advice import hiding_unknown
from ..api.functional import batch_normalization
from ..api.layer import BatchNormalization
from ..runtime.tensorflow_v1 import tf_version
from . import namespaces
from .old_names import modules, moved
from .old_names import neighbours as _neighbours
from .old_names.optional_slim import TF1_CONTRIB, batch_norm_moves
from .places import Ledger, Move, attribute, provides
from .slim import serve_slim

_LOG = logging.getLogger("tf1_bn")

_NORMALIZATION = "tensorflow.python.layers.normalization"
_OURS = {"batch_normalization": batch_normalization, "BatchNormalization": BatchNormalization}
_OURS_IN_NORMALIZATION = {
    **_OURS,
    "batch_norm": batch_normalization,
    "BatchNorm": BatchNormalization,
}

_lock = threading.RLock()
_ledger = Ledger()
_when_unused = contextlib.ExitStack()


@hiding_unknown
def install(
    *,
    force: bool = False,
    neighbours: bool = False,
    contrib: bool = False,
    **unknown: NoReturn,
) -> contextlib.ExitStack:
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
      contrib: also serve `tensorflow.contrib`, and `tf.estimator` where it is gone, to every style
        of import: names of TF-Slim, which has to be installed, of TensorFlow and of this package,
        whose `batch_norm` also stands in TF-Slim; and put private names that only moved back. On
        TensorFlow 1, which has a contrib, only `force` changes it: `batch_norm` is ours then.

    Returns:
      What undoes this call of `install` when it is closed: leave it alone, or use it as a context
      manager.

    Raises:
      ImportError: `neighbours` is asked for and this TensorFlow no longer carries them.
      TypeError: an argument is no bool.
    """
    if unknown:
        name = next(iter(unknown))
        spelled = ". Did you mean `neighbours`?" if name == "neighbors" else ""
        raise TypeError(f"install() got an unexpected keyword argument {name!r}{spelled}")
    for name, value in (("force", force), ("neighbours", neighbours), ("contrib", contrib)):
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` must be a bool (got {value!r}).")
    with _lock:
        is_first = not _ledger.is_used()
        if is_first:
            namespaces.forget()
        log: list[str] = []
        moves = [
            *_batch_normalization_moves(force, log),
            *_normalization_moves(force, log),
            *(_neighbour_moves(log) if neighbours else ()),
            *(_contrib_moves(force, log) if contrib else ()),
        ]
        if is_first:
            _when_unused.callback(serve_slim())
        undo = contextlib.ExitStack()
        undo.callback(_undo, _ledger.place(moves))
        modules.settle()
        _LOG.info("tf1_bn.install: %s", "; ".join(log))
        return undo


def uninstall() -> None:
    """Gives back every original, whoever installed; does nothing if nothing is installed."""
    _undo(_ledger.clear)


def _undo(take_back: Callable[[], None]) -> None:
    with _lock:
        take_back()
        modules.settle()
        if not _ledger.is_used():
            _when_unused.close()


def _batch_normalization_moves(force: bool, log: list[str]) -> list[Move]:
    layers, rnn_cell = namespaces.layers(), namespaces.rnn_cell()
    if not (layers.lost or force):
        log.append(
            f"{layers.name} has its own batch normalization and keeps it (force=True replaces)"
        )
        return []
    log.append(f"{' and '.join(_OURS)} put into {layers.name}")
    # The stand-in of tf.nn.rnn_cell holds nothing yet: it tells the way out.
    return [*layers.showing(_OURS), *rnn_cell.moves]


def _normalization_moves(force: bool, log: list[str]) -> list[Move]:
    try:
        module = importlib.import_module(_NORMALIZATION)
    except ImportError:
        # Only code that imports this private module misses it, and that fails by itself.
        log.append(f"this TensorFlow has no {_NORMALIZATION}")
        return []
    # Where tf.layers is lost this one never works, and asking it would import legacy Keras.
    if not (force or namespaces.layers().lost) and _original_works(module):
        log.append(f"{_NORMALIZATION} keeps its own")
        return []
    log.append(f"{', '.join(_OURS_IN_NORMALIZATION)} put into {_NORMALIZATION}")
    return [attribute(module, name, ours) for name, ours in _OURS_IN_NORMALIZATION.items()]


def _original_works(module: Any) -> bool:
    ours = vars(module).get("BatchNormalization") is BatchNormalization
    return not ours and provides(module, "BatchNormalization")


def _neighbour_moves(log: list[str]) -> list[Move]:
    moves = []
    for namespace, homes in (
        (namespaces.layers(), _neighbours.LAYERS),
        (namespaces.rnn_cell(), _neighbours.RNN_CELLS),
    ):
        if namespace.lost:
            found = _neighbours.find(homes)
            log.append(f"{len(found)} neighbours put into {namespace.name}")
            moves += namespace.showing(found)
        else:
            log.append(f"{namespace.name} keeps its own")
    return moves


def _contrib_moves(force: bool, log: list[str]) -> list[Move]:
    moves = list(modules.moves([*namespaces.v1_modules(), sys.modules["tensorflow"]]))
    for table in (moved.SLIMS, moved.PROGRAMS):
        for home, names in table.items():
            # A program that needs a module which is gone fails by itself.
            with contextlib.suppress(ImportError):
                moves += moved.missing({home: names})
    if force and tf_version() < (2, 0):
        moves += batch_norm_moves(*TF1_CONTRIB)
    log.append(f"contrib: {len(moves)} names put where they are looked for")
    return [Move(*each, is_item=each[0] is sys.modules) for each in moves]
