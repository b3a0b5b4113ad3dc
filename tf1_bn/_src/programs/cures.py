# SPDX-License-Identifier: Apache-2.0
"""Which option would have spared a program its error."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from typing import Any, Iterator

_NO_MODULE = re.compile(r"No module named '?(tensorflow[\w.]*|tf_slim)\b")
_NO_NAME = re.compile(r"module '((?:tensorflow|keras)[\w.]*)' has no attribute '(\w+)'")
_NO_IMPORT = re.compile(r"cannot import name '(\w+)' from '(tensorflow[\w.]*)'")
_LOST = re.compile(r"not available with Keras 3\. .*--neighbours")
_EAGER = re.compile(r"eager execution|EagerTensor|when eager|Session graph is empty")
# What tensors' shapes are made of without v2 behaviour.
_DIMENSION = re.compile(r"'(int|NoneType)' object has no attribute 'value'$")
_ARGUMENT = re.compile(r"^(?:(\w+)\(\) g|G)ot an unexpected keyword argument '(\w+)'")
# TensorFlow 2's functions have these names inside, and TensorFlow 1's have these arguments.
_OLD_ARGUMENTS = ("keep_prob", "keep_dims", "reduction_indices", "dimension", "concat_dim", "dim")
_CONTRIBS = re.compile(r"tensorflow(\._api\.v2|\.compat\.v1)*\.(contrib|estimator)\b")
_ALIAS, _CONTRIB, _NEIGHBOURS = "--tf1-alias", "--contrib", "--neighbours"
_SLIM = "install TF-Slim: pip install 'tf_slim>=1.1.0'"


def cure(error: BaseException, options: Any) -> str:
    """What to add to the command line: a sentence, "" if nothing that is known would help.

    Args:
      error: what the program died of.
      options: the parsed command line, with `tf1_alias`, `neighbours`, `contrib`, `compat`.
    """
    for each in _chain(error):
        wanted = ""
        # What is asked here are modules in any state; a second error would hide the program's.
        with contextlib.suppress(Exception):
            wanted = _cure_of(each)
        if wanted in (_ALIAS, _CONTRIB, _NEIGHBOURS):
            given = options.compat or getattr(options, wanted[2:].replace("-", "_"))
            return "" if given else f"add {wanted}, or --compat for all that an old program needs."
        if wanted:
            return f"{wanted}."
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was raised from or in handling, as a traceback shows them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _cure_of(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, ImportError):
        return _of_import(text)
    if isinstance(error, AttributeError) and _LOST.search(text):
        return _NEIGHBOURS
    found = _NO_NAME.search(text) if isinstance(error, AttributeError) else None
    if found:
        return _of_name(*found.groups())
    if isinstance(error, (AttributeError, RuntimeError, ValueError, NotImplementedError)):
        return _ALIAS if _EAGER.search(text) or _DIMENSION.search(text) else ""
    found = _ARGUMENT.search(text) if isinstance(error, TypeError) else None
    return _ALIAS if found and _had_argument(*found.groups()) else ""


def _of_import(text: str) -> str:
    found = _NO_IMPORT.search(text)
    if found:
        return _of_name(found.group(2), found.group(1))
    found = _NO_MODULE.search(text)
    if not found:
        return ""
    if found.group(1) == "tf_slim":
        return _SLIM
    home, _, name = found.group(1).rpartition(".")
    while home.count(".") and not _is_contribs(home):
        home, _, name = home.rpartition(".")
    return _of_name(home, name) if home else ""


def _of_name(home: str, name: str) -> str:
    """Of a name that a module of TensorFlow, or of the Keras in it, lacks."""
    full = f"{home}.{name}"
    if _is_contribs(full) or _only_moved(home, name):
        return _CONTRIB
    if ".compat.v1" in home:
        return _NEIGHBOURS if _is_neighbour(home, name) else ""
    words = re.sub(r"^tensorflow\.?(_api\.v2\.?)?|^keras[\w.]*\.(?=\w+$)", "", home)
    return _ALIAS if _in_tensorflow_1(words, name) else ""


def _is_contribs(full: str) -> bool:
    """Whether `--contrib` serves a module; an estimator is there up to TensorFlow 2.15."""
    return _CONTRIBS.match(full) is not None


def _only_moved(home: str, name: str) -> bool:
    from .old_names.moved import PROGRAMS, SLIMS

    below = home[len("tensorflow.python.") :] if home.startswith("tensorflow.python.") else ""
    return any(name in table.get(below, ()) for table in (PROGRAMS, SLIMS))


def _is_neighbour(home: str, name: str) -> bool:
    from .old_names import neighbours

    homes = {"layers": neighbours.LAYERS, "rnn_cell": neighbours.RNN_CELLS}
    return name in neighbours.names(homes.get(home.rpartition(".")[2], {}))


def _in_tensorflow_1(words: str, name: str) -> bool:
    """Whether `tensorflow.compat.v1` has a name below `words`; asked without loading anything."""
    module: Any = sys.modules.get("tensorflow.compat.v1") or sys.modules["tensorflow"].compat.v1
    for word in filter(None, words.split(".")):
        module = getattr(module, word)
    return name in dir(module)


def _had_argument(function: str | None, argument: str) -> bool:
    """Whether TensorFlow 1's function of that name takes the argument."""
    if argument not in _OLD_ARGUMENTS or function is None:
        # TensorFlow's own dispatcher does not say of which function.
        return argument in _OLD_ARGUMENTS
    v1: Any = sys.modules["tensorflow"].compat.v1
    short = re.sub("_v2$", "", function)
    found: Any = getattr(v1, short, None) or getattr(v1.nn, short, None)
    return argument in inspect.signature(found).parameters
