"""The guide's `tf.nn` recipes have the variables and outputs of the `tf.layers` they replace."""

from __future__ import annotations

import types
from typing import Any, Callable, Iterator

import numpy as np
import pytest

from tests.conftest import tensorflow
from tests.forked import ROOT
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


def recipes() -> Any:
    """What the block of the guide defines, without the comparison at its end."""
    page = (ROOT / "migration_guide" / "recipes.md").read_text(encoding="utf-8")
    (block,) = [e.source for e in examples("page", page) if "def conv2d_transpose(" in e.source]
    defined: dict[str, Any] = {}
    exec(block.partition("\n# Compare")[0], defined)
    return types.SimpleNamespace(**defined)


# Of `tf`, of the recipes or `tf.layers`, and of the images.
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "dense": lambda tf, layers, x: layers.dense(x[:, 0, 0], 4, tf.tanh, name="n"),
    "dense of images": lambda tf, layers, x: layers.dense(
        inputs=x, units=4, use_bias=False, kernel_regularizer=tf.nn.l2_loss, name="n"
    ),
    "conv2d": lambda tf, layers, x: layers.conv2d(
        inputs=x,
        filters=4,
        kernel_size=[3, 2],
        strides=(2, 1),
        padding="same",
        activation=tf.nn.relu,
        kernel_initializer=tf.ones_initializer(),
        bias_initializer=tf.ones_initializer(),
        kernel_regularizer=tf.nn.l2_loss,
        name="n",
    ),
    "conv2d by position": lambda tf, layers, x: layers.conv2d(x, 4, 3, 2, "SAME", name="n"),
    "conv2d without bias": lambda tf, layers, x: layers.conv2d(x, 4, 3, use_bias=False, name="n"),
    "conv2d_transpose": lambda tf, layers, x: layers.conv2d_transpose(
        x, 4, 3, strides=2, padding="same", name="n"
    ),
    "conv2d_transpose valid": lambda tf, layers, x: layers.conv2d_transpose(
        inputs=x, filters=4, kernel_size=[1, 5], strides=(2, 3), name="n"
    ),
    "flatten": lambda tf, layers, x: layers.flatten(x),
    "max_pooling2d": lambda tf, layers, x: layers.max_pooling2d(inputs=x, pool_size=3, strides=2),
    "average_pooling2d": lambda tf, layers, x: layers.average_pooling2d(x, [2, 3], 2, "same"),
    "dropout": lambda tf, layers, x: layers.dropout(x, 0.4, training=tf.constant(False)),
    "dropout in no phase": lambda tf, layers, x: layers.dropout(x, training=np.bool_(False)),
    "dropout by default": lambda tf, layers, x: layers.dropout(inputs=x, rate=0.4),
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_recipe(name: str, session: Any) -> None:
    tf = tensorflow()
    data = np.random.RandomState(1).normal(1.0, 2.0, [2, 7, 6, 3]).astype(np.float32)
    x = tf.placeholder(tf.float32, [None, 7, 6, 3])
    outputs, variables, decays = [], [], []
    for scope, layers in (("recipe", recipes()), ("layer", tf.layers)):
        with tf.variable_scope(scope):
            outputs.append(CALLS[name](tf, layers, x))
        found = tf.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES, scope=scope + "/")
        variables.append({v.name.partition("/")[2]: v for v in found})
        decays.append(tf.losses.get_regularization_losses(scope + "/"))
    described = [{n: (v.shape.as_list(), v.dtype) for n, v in vs.items()} for vs in variables]
    assert described[0] == described[1]
    assert ("n/kernel:0" in variables[0]) == (name.startswith(("dense", "conv")))
    assert outputs[0].shape.as_list() == outputs[1].shape.as_list()
    assert len(decays[0]) == len(decays[1])
    session.run(tf.global_variables_initializer())
    for variable_name, variable in variables[0].items():
        if name == "conv2d":
            assert set(session.run(variable).flat) == {1.0}
        value = np.random.RandomState(2).normal(size=variable.shape.as_list())
        variable.load(value, session)
        variables[1][variable_name].load(value, session)
    recipe, layer = session.run(outputs, {x: data})
    assert_close(recipe, layer, "output", "float32")


def test_recipes_drop_out_in_training(session: Any) -> None:
    tf = tensorflow()
    dropped = recipes().dropout(tf.ones([40, 50]), 0.25, training=tf.constant(True))
    value = session.run(dropped)
    assert set(np.unique(value)) == {0.0, np.float32(1 / 0.75)}
    assert 0.15 < (value == 0).mean() < 0.35
