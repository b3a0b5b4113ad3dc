# SPDX-License-Identifier: Apache-2.0
"""The names that are looked for in sources, none of which is imported here, and what nodes say."""

from __future__ import annotations

import ast
import re
from typing import Any

from .facts import Argument

# Whose names are followed.
ROOTS = frozenset(("tensorflow", "tf_slim", "tf1_bn"))
# Where tf.layers' batch norm is imported from.
HOMES = (
    "tensorflow.layers",
    "tensorflow.compat.v1.layers",
    "tensorflow.python.layers.normalization",
)
NORMS = ("batch_normalization", "batch_norm", "BatchNormalization", "BatchNorm")
KEPT = ("SyncBatchNormalization", *NORMS)
# Of TensorFlow's many functions, those that a rule asks for.
ASKED = frozenset(
    (*KEPT, "apply", "__call__", "minimize", "apply_gradients", "compute_gradients", "gradients")
    + ("get_collection", "arg_scope", "Graph", "create_train_op", "optimize_loss")
    + ("ScipyOptimizerInterface",)
)
# What `from tensorflow.contrib.layers import *` may have given.
STARS = (*NORMS, "arg_scope")
# What a condition says that asks which TensorFlow there is, and what ends a body.
_VERSION = re.compile(
    r"version|hasattr|has_?contrib|tf2|v2_enabled|(?<![a-z0-9])tf_?v?[12](?![a-z0-9])(?!_bn)",
    re.IGNORECASE,
)
_TENSORFLOW = re.compile(r"(?<![a-z])tf|tensorflow|contrib", re.IGNORECASE)
_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_EXITS = ("exit", "quit", "_exit", "skip")

_UPDATES = re.compile(
    r"update_?ops?$|update_?ops_|^(extra|bn|batch_?norm)_?updates?$|^updates$|^get_updates_for$"
    r"|AssignMovingAvg|^create_train_op$|^optimize_loss$|^gan_train_ops$|^RunUpdateOps$"
    # Estimators' heads run all of the collection.
    r"|^update_ops_for$|^create_estimator_spec$",
    re.IGNORECASE,
)
_STATISTICS = re.compile(r"moving_(mean|var)(?!\w*_initializer)")
ASSIGNING = frozenset(("assign", "assign_add", "assign_sub", "assign_moving_average"))
_CODE = r"[A-Z]+[0-9]+"
_NOQA = re.compile(rf"#\s*noqa(?::\s*(?P<codes>{_CODE}(?:[,\s]+{_CODE})*))?", re.IGNORECASE)
# Modules whose functions build no layers and run no updates.
_HARMLESS = """
    abc absl argparse ast base64 bisect builtins cProfile codecs collections configparser contextlib
    copy csv cv2 datetime decimal difflib enum errno fnmatch fractions functools gc getopt glob gym
    gzip h5py hashlib heapq html http imageio importlib inspect io itertools json librosa logging
    math matplotlib mnist mpl_toolkits msgpack multiprocessing numbers numpy operator os pandas
    pathlib pickle PIL platform pprint queue random re requests scipy seaborn select shlex shutil
    signal six skimage sklearn socket statistics string struct subprocess sys tarfile tempfile
    termcolor textwrap threading time timeit tqdm traceback types typing unittest urllib urllib2
    uuid warnings wave weakref yaml zipfile zlib __future__
"""
HARMLESS = frozenset(_HARMLESS.split())
FOLLOWED_NOT = HARMLESS | ROOTS


def is_of_updates(word: str) -> bool:
    """Whether an identifier, or a text, speaks of update ops or of what runs them.

    >>> is_of_updates("UPDATE_OPS"), is_of_updates("extra_update_ops"), is_of_updates("update")
    (True, True, False)
    """
    return _UPDATES.search(word) is not None


def is_of_statistics(word: str) -> bool:
    """Whether an identifier, or a text, speaks of the moving statistics themselves.

    >>> is_of_statistics("bn/moving_mean:0"), is_of_statistics("moving_mean_initializer")
    (True, False)
    """
    return _STATISTICS.search(word) is not None


def is_of_keras(name: str) -> bool:
    """Whether a dotted name leads into Keras, whichever way."""
    return "keras" in name.split(".")


def literal(node: Any) -> tuple[bool, Any]:
    """Whether a node is a plain literal, and its value; Python 3.7 has other classes of nodes."""
    kind = type(node).__name__
    if kind in ("Constant", "NameConstant"):
        return True, node.value
    if kind in ("Num", "Str"):
        return True, node.n if kind == "Num" else node.s
    return False, None


def parameters(arguments: Any) -> dict[str, Argument | None]:
    """The names of all parameters, in order, with the literal that is a default."""
    plain = [*getattr(arguments, "posonlyargs", ()), *arguments.args]
    rest = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    missing = [None] * (len(plain) - len(arguments.defaults))
    defaults = [*missing, *arguments.defaults, *arguments.kw_defaults, *(None for _ in rest)]
    found: dict[str, Argument | None] = {}
    for each, default in zip([*plain, *arguments.kwonlyargs, *rest], defaults):
        known = (False, None) if default is None else literal(default)
        found[each.arg] = Argument(*known) if known[0] else None
    return found


def words_of(node: Any) -> str:
    """The identifiers and texts of an expression."""
    found, waiting = [], [node]
    while waiting:
        inner = vars(waiting.pop()).values()
        found += [each for each in inner if isinstance(each, str)]
        waiting += [each for each in inner if isinstance(each, ast.AST)]
        listed = [one for each in inner if isinstance(each, list) for one in each]
        waiting += [one for one in listed if isinstance(one, ast.AST)]
    return " ".join(found)


def silenced(lines: list[str]) -> dict[int, frozenset[str]]:
    """By line, the codes that a `noqa` silences there; an empty set stands for all."""
    found = {}
    for number, line in enumerate(lines, 1):
        match = _NOQA.search(line) if "noqa" in line.lower() else None
        if match:
            codes = re.findall(_CODE, (match.group("codes") or "").upper())
            found[number] = frozenset(codes)
    return found


def speaks_of_version(words: str) -> bool:
    """Whether the words of a condition say that it asks for the version.

    >>> speaks_of_version("IS_TF1"), speaks_of_version("tf1_bn")
    (True, False)
    """
    return _VERSION.search(words) is not None


def is_answer(value: Any) -> bool:
    """Whether a value tells which TensorFlow there is, so that its name may be asked later."""
    is_call = isinstance(value, ast.Call)
    is_question = isinstance(value, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Subscript))
    name = getattr(getattr(value, "func", None), "id", "")
    name = name or getattr(getattr(value, "func", None), "attr", "")
    known = is_question or (is_call and name in ("hasattr", "int", "float", "bool", "startswith"))
    return known and speaks_of_version(words_of(value))


def is_end(node: Any) -> bool:
    """Whether nothing behind a statement runs unless its condition on TensorFlow is as it says.

    What asks another program's version, or whether some object has a name, is none.
    """
    if isinstance(node, ast.If):
        last = node.body[-1]
        call = getattr(last, "value", None) if isinstance(last, ast.Expr) else None
        name = getattr(getattr(call, "func", None), "id", "")
        name = name or getattr(getattr(call, "func", None), "attr", "")
        if not isinstance(last, _ENDS) and name not in _EXITS:
            return False
    elif not isinstance(node, ast.Assert):
        return False
    words = words_of(node.test)
    return not speaks_of_version(words) or _TENSORFLOW.search(words) is not None
