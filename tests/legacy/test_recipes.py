"""The guide's `tf.nn` recipes have the variables and outputs of the `tf.layers` they replace."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import numpy as np
import pytest

from tests.conftest import tensorflow
from tests.legacy.process import ROOT
from tests.meta.markdown import examples
from tests.tolerances import assert_close
from tf1_bn._src.programs.install import install, uninstall

# TensorFlow's private copies of tf.layers call their own deprecated method.
pytestmark = pytest.mark.filterwarnings("ignore:`layer.apply` is deprecated:UserWarning")


@pytest.fixture(autouse=True)
def neighbours_installed() -> Iterator[None]:
    install(neighbours=True)
    yield
    uninstall()


def recipes() -> dict[str, Any]:
    """What the block of the guide defines, without the graph it builds at its end."""
    page = (ROOT / "migration_guide" / "run_unmodified.md").read_text(encoding="utf-8")
    (block,) = [e.source for e in examples("page", page) if "def conv2d_transpose(" in e.source]
    defined: dict[str, Any] = {}
    exec(block.partition("\nimages = ")[0], defined)
    return defined


CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "dense": (
        lambda tf, r, x: r["dense"](x[:, 0, 0], 4, tf.tanh, name="n"),
        lambda tf, r, x: tf.layers.dense(x[:, 0, 0], 4, tf.tanh, name="n"),
    ),
    "conv2d": (
        lambda tf, r, x: r["conv2d"](x, 4, 3, strides=2, padding="same", name="n"),
        lambda tf, r, x: tf.layers.conv2d(x, 4, 3, 2, padding="same", name="n"),
    ),
    "conv2d without bias": (
        lambda tf, r, x: r["conv2d"](x, 4, 3, use_bias=False, name="n"),
        lambda tf, r, x: tf.layers.conv2d(x, 4, 3, use_bias=False, name="n"),
    ),
    "conv2d_transpose": (
        lambda tf, r, x: r["conv2d_transpose"](x, 4, 3, strides=2, name="n"),
        lambda tf, r, x: tf.layers.conv2d_transpose(x, 4, 3, 2, padding="same", name="n"),
    ),
    "flatten": (
        lambda tf, r, x: r["flatten"](x),
        lambda tf, r, x: tf.layers.flatten(x),
    ),
    "max_pooling2d": (
        lambda tf, r, x: r["max_pooling2d"](x, 3, 2),
        lambda tf, r, x: tf.layers.max_pooling2d(x, 3, 2),
    ),
    "dropout": (
        lambda tf, r, x: r["dropout"](x, 0.4, tf.constant(False)),
        lambda tf, r, x: tf.layers.dropout(x, 0.4, training=False),
    ),
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_recipe(name: str, session: Any) -> None:
    tf = tensorflow()
    data = np.random.RandomState(1).normal(1.0, 2.0, [2, 7, 6, 3]).astype(np.float32)
    x = tf.placeholder(tf.float32, [None, 7, 6, 3])
    outputs, variables = [], []
    for scope, call in zip(("recipe", "layer"), CALLS[name]):
        with tf.variable_scope(scope):
            outputs.append(call(tf, recipes() if scope == "recipe" else None, x))
        found = tf.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES, scope=scope + "/")
        variables.append({v.name.partition("/")[2]: v for v in found})
    described = [{n: (v.shape.as_list(), v.dtype) for n, v in vs.items()} for vs in variables]
    assert described[0] == described[1]
    assert ("n/kernel:0" in variables[0]) == (name.startswith(("dense", "conv")))
    assert outputs[0].shape.as_list() == outputs[1].shape.as_list()
    session.run(tf.global_variables_initializer())
    for variable_name, variable in variables[0].items():
        value = np.random.RandomState(2).normal(size=variable.shape.as_list())
        variable.load(value, session)
        variables[1][variable_name].load(value, session)
    recipe, layer = session.run(outputs, {x: data})
    assert_close(recipe, layer, "output", "float32")


def test_recipes_drop_out_in_training(session: Any) -> None:
    tf = tensorflow()
    dropped = recipes()["dropout"](tf.ones([40, 50]), 0.25, tf.constant(True))
    value = session.run(dropped)
    assert set(np.unique(value)) == {0.0, np.float32(1 / 0.75)}
    assert 0.15 < (value == 0).mean() < 0.35
