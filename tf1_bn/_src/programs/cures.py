# SPDX-License-Identifier: Apache-2.0
"""Which option would have spared a program its error."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import re
import sys
import traceback
from typing import Any, Iterator

_NO_MODULE = re.compile(r"No module named '?(tensorflow[\w.]*|tf_slim)\b")
_NO_NAME = re.compile(r"module '((?:tensor(?:flow|board)|keras)[\w.]*)' has no attribute '(\w+)'")
_NO_IMPORT = re.compile(r"cannot import name '(\w+)' from '(tensorflow[\w.]*)'")
_LOST = re.compile(r"not available with Keras 3\. .*--neighbours")
_EAGER = re.compile(r"eager execution|EagerTensor|when eager|Session graph is empty")
# What only tensors of a graph have.
_OF_TENSORS = re.compile(r"EagerTensor' object has no attribute '(\w+)'$")
# What tensors' shapes are made of without v2 behaviour, and a line that takes one.
_DIMENSION = re.compile(r"'(int|NoneType)' object has no attribute 'value'$")
_TAKES_DIMENSION = re.compile(r"(?i)shape|dim|\]\.value")
_OF_DATASETS = re.compile(
    r"Dataset' object has no attribute '(make_\w+_iterator|output_(types|shapes|classes))'$"
)
_ARGUMENT = re.compile(r"^(?:(\w+)\(\) g|G)ot an unexpected keyword argument '(\w+)'")
# TensorFlow 2's functions have these names inside, and TensorFlow 1's have these arguments.
_OLD_ARGUMENTS = (
    *("keep_prob", "keep_dims", "reduction_indices", "dimension", "concat_dim", "dim"),
    *("squeeze_dims", "partition_strategy", "strict", "return_same_structure"),
)
# Whose frames say that an error is TensorFlow's; a program may have functions of these names.
_LIBRARIES = ("tensorflow", "keras", "tf_keras", "tf_slim", "tf1_bn")
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
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, (AttributeError, RuntimeError, ValueError, NotImplementedError)):
        return _ALIAS if _is_v2() and _lacks_graph(text, error, frames) else ""
    found = _ARGUMENT.search(text) if isinstance(error, TypeError) else None
    if not (found and frames and _passes_tensorflow(frames)):
        return ""
    return _ALIAS if _had_argument(*found.groups()) else ""


def _is_v2() -> bool:
    """Whether TensorFlow is there and behaves as version 2, which the alias ends."""
    full = sys.modules.get("tensorflow")
    return full is not None and bool(full.compat.v1.executing_eagerly_outside_functions())


def _lacks_graph(text: str, error: BaseException, frames: list[Any]) -> bool:
    """Whether an error comes of eager execution, or of what else is another thing in version 2."""
    if _OF_DATASETS.search(text):
        return True
    if _DIMENSION.search(text):
        line = traceback.extract_tb(error.__traceback__)[-1].line if frames else ""
        return not line or _TAKES_DIMENSION.search(line) is not None
    found = _OF_TENSORS.search(text)
    if found:
        return hasattr(sys.modules["tensorflow"].Tensor, found.group(1))
    return _EAGER.search(text) is not None and _is_library(frames[-1])


def _passes_tensorflow(frames: list[Any]) -> bool:
    """Whether a program called TensorFlow when it failed; below the program are our own frames."""
    above = list(itertools.dropwhile(_is_library, frames))
    return any(map(_is_library, above))


def _is_library(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__", "")).split(".")[0] in _LIBRARIES


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
    # TensorBoard has what is left of tf.summary.
    words = re.sub(
        r"^tensorboard\.(?=summary)|\._tf\.summary$|^tensorflow\.?(_api\.v2\.?)?"
        r"|^keras[\w.]*\.(?=\w+$)",
        "",
        home,
    )
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
