"""Small nets of each kind, as programs build them, with moving statistics of their own."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

from tf1_bn._src.runtime.tensorflow_v1 import tf


class Model(NamedTuple):
    """What is fed, the flag, and what comes out; in the default graph."""

    inputs: Any
    training: Any
    outputs: Any


def normalizer(layer: Callable[..., Any], training: Any, **arguments: Any) -> Callable[..., Any]:
    """A function of data and name that normalizes by `layer`."""

    def normalize(data: Any, name: str, **more: Any) -> Any:
        return layer(data, training=training, name=name, **{**arguments, **more})

    return normalize


def _weights(name: str, shape: list) -> Any:
    return tf.get_variable(name, shape, initializer=tf.random_normal_initializer(0.0, 0.3, seed=7))


def _conv(data: Any, name: str, shape: list, strides: int = 1, padding: str = "SAME") -> Any:
    return tf.nn.conv2d(data, _weights(name, shape), [1, strides, strides, 1], padding)


def resnet(normalize: Callable[..., Any], training: Any) -> Model:
    """Blocks with a shortcut, one that normalizes before it convolves, and a dense end."""
    images = tf.placeholder(tf.float32, [None, 8, 8, 3], name="images")
    net = tf.nn.relu(normalize(_conv(images, "k1", [3, 3, 3, 4]), "bn1"))
    branch = tf.nn.relu(normalize(_conv(net, "k2", [3, 3, 4, 4]), "bn2"))
    net = tf.nn.relu(net + normalize(_conv(branch, "k3", [3, 3, 4, 4]), "bn3"))
    before = normalize(net, "bn4")
    net = tf.nn.relu(_conv(before, "k4", [1, 1, 4, 6], 2))
    net = tf.nn.bias_add(_conv(net, "k5", [3, 3, 6, 6], 1, "VALID"), _weights("b5", [6]))
    net = tf.reduce_mean(tf.nn.relu(normalize(net, "bn5")), [1, 2])
    logits = tf.matmul(net, _weights("w", [6, 3]))
    return Model(images, training, tf.identity(logits, name="logits"))


def depthwise(normalize: Callable[..., Any], training: Any) -> Model:
    images = tf.placeholder(tf.float32, [None, 6, 6, 3], name="images")
    net = tf.nn.depthwise_conv2d(images, _weights("d", [3, 3, 3, 2]), [1, 1, 1, 1], "SAME")
    net = tf.nn.relu6(normalize(net, "bn1"))
    net = tf.nn.relu6(normalize(_conv(net, "p", [1, 1, 6, 5]), "bn2"))
    return Model(images, training, tf.identity(net, name="features"))


def generator(normalize: Callable[..., Any], training: Any) -> Model:
    """A DCGAN's, by transposed convolutions."""
    noise = tf.placeholder(tf.float32, [None, 5], name="noise")
    net = tf.reshape(normalize(tf.matmul(noise, _weights("w", [5, 16])), "bn0"), [-1, 2, 2, 4])
    net = tf.nn.relu(net)
    for number, (width, size) in enumerate([(3, 4), (2, 8)], 1):
        kernel = _weights(f"t{number}", [4, 4, width, int(net.shape[-1])])
        sizes = tf.stack([tf.shape(net)[0], size, size, width])
        net = tf.nn.conv2d_transpose(net, kernel, sizes, [1, 2, 2, 1], "SAME")
        net.set_shape([None, size, size, width])
        net = tf.nn.relu(normalize(net, f"bn{number}"))
    return Model(noise, training, tf.nn.tanh(net, name="pictures"))


def dense(normalize: Callable[..., Any], training: Any) -> Model:
    """With dropout that follows the same flag."""
    rows = tf.placeholder(tf.float32, [None, 6], name="rows")
    net = tf.nn.bias_add(tf.matmul(rows, _weights("w1", [6, 8])), _weights("b1", [8]))
    net = tf.nn.relu(normalize(net, "bn1"))
    if training not in (True, False):
        net = tf.cond(training, lambda: tf.nn.dropout(net, rate=0.5), lambda: net)
    net = normalize(net, "bn2")
    return Model(rows, training, tf.matmul(net, _weights("w2", [8, 2]), name="scores"))


def renorm(normalize: Callable[..., Any], training: Any) -> Model:
    images = tf.placeholder(tf.float32, [None, 5, 5, 2], name="images")
    net = normalize(_conv(images, "k", [3, 3, 2, 3]), "bn1", renorm=True)
    return Model(images, training, tf.nn.relu(net, name="features"))


MODELS = {each.__name__: each for each in (resnet, depthwise, generator, dense, renorm)}


def with_values(session: Any, seed: int = 3) -> None:
    """Gives every variable a value of its own, moving statistics too."""
    random = np.random.RandomState(seed)
    session.run(tf.global_variables_initializer())
    for variable in tf.global_variables():
        if variable.dtype.base_dtype.is_floating and variable.shape.rank:
            values = random.normal(0.0, 0.4, variable.shape.as_list())
            if variable.op.name.endswith(("variance", "gamma", "stddev")):
                values = np.exp(values)
            variable.load(values, session)
