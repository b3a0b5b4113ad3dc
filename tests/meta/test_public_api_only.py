"""The package touches TensorFlow through the public `tensorflow.compat.v1` only, never Keras."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator

import pytest

from tests.meta.project import PACKAGE, package_files, parse, relative

# The files that may touch names of other packages; the list should not grow.
ALLOWED = Path(__file__).with_name("data") / "private_names_allowed.txt"

TENSORFLOW = "tensorflow.compat.v1"
FORBIDDEN_MODULES = ("tensorflow", "tensorflow_core", "keras", "tf_keras", "tf_slim")
MODULE_NAME = re.compile(
    r"(tensorflow\.(python|keras)|tensorflow_core|keras|tf_keras|tf_slim)(\.|$)"
)
# Public spellings that lead to Keras, or to what TensorFlow 2.16 lost.
FORBIDDEN_ATTRIBUTES = ("contrib", "estimator", "keras", "layers", "python")


def forbidden(tree: ast.AST) -> Iterator[str]:
    """Yield `line: what` for each private or Keras name that `tree` imports or reaches."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_other(alias.name) and (alias.name, alias.asname) != (TENSORFLOW, "tf"):
                    yield f"{node.lineno}: import {alias.name} as {alias.asname}"
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and is_other(node.module or ""):
                yield f"{node.lineno}: from {node.module}"
        elif isinstance(node, ast.Attribute):
            name = dotted(node)
            lost = name in {f"tf.{word}" for word in FORBIDDEN_ATTRIBUTES}
            private = node.attr.startswith("_") and not node.attr.endswith("__")
            if lost or (private and name.startswith("tf.")):
                yield f"{node.lineno}: {name}"
        elif isinstance(node, ast.expr) and MODULE_NAME.match(literal_string(node)):
            # A module that is named by a string is imported, or patched, by that string.
            yield f"{node.lineno}: {literal_string(node)!r}"


def literal_string(node: ast.expr) -> str:
    """Return the string that `node` is, or an empty one (ast.Str up to Python 3.7)."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def is_other(module: str) -> bool:
    return module.split(".")[0] in FORBIDDEN_MODULES


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a chain of attributes on a name, or an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def allowed_files() -> list[str]:
    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("path", package_files(), ids=relative)
def test_only_public_names(path: Path) -> None:
    if relative(path) not in allowed_files():
        assert list(forbidden(parse(path))) == [], f"private or Keras names in {relative(path)}"


def test_allow_list_has_no_idle_line() -> None:
    """A line of the allow-list that no file needs any more must go."""
    idle = [
        name
        for name in allowed_files()
        if not (PACKAGE.parent / name).exists() or not list(forbidden(parse(PACKAGE.parent / name)))
    ]
    assert idle == []


@pytest.mark.parametrize(
    "source",
    [
        "import tensorflow as tf",
        "import tensorflow.compat.v1 as tf1",
        "import tensorflow.python.framework.ops",
        "from tensorflow.python.ops import nn",
        "from tensorflow.compat import v1 as tf",
        "import keras",
        "import tf_keras as k",
        "x = tf.keras.backend",
        "x = tf.layers.batch_normalization",
        "x = tf.nn._private",
        "importlib.import_module('tensorflow.python.ops')",
        "__import__('keras')",
        "HOME = 'tf_slim.layers'",
    ],
)
def test_the_check_sees(source: str) -> None:
    assert len(list(forbidden(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import tensorflow.compat.v1 as tf",
        "x = tf.nn.moments",
        "x = tf.__version__",
        "from . import layers",
        "x._y = layers",
        "NAME = 'keras_learning_phase'",
    ],
)
def test_the_check_is_silent_on(source: str) -> None:
    assert list(forbidden(ast.parse(source))) == []
