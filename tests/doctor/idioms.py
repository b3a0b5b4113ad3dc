"""Programs in the ways of one library each, broken and correct; those that this TensorFlow has."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict

import tf1_bn
from tests.doctor.zoo import (
    convolved,
    dense,
    images,
    loss_of,
    minimized,
    phase,
    weights,
    with_updates,
)
from tf1_bn._src.runtime.tensorflow_v1 import tf, tf_version

Idiom = Callable[[], Dict[str, Any]]
VERSION = tf_version()


def statistics(shape: list[int], *names: str) -> list[Any]:
    return [
        tf.get_variable(name, shape, initializer=tf.ones_initializer(), trainable=False)
        for name in names
    ]


# -- by hand ---------------------------------------------------------------------------------------


def by_hand(x: Any, training: Any) -> Any:
    """As answers of 2016 show it: averages by ExponentialMovingAverage, in a conditional."""
    gamma = tf.get_variable("gamma", [4], initializer=tf.ones_initializer())
    beta = tf.get_variable("beta", [4], initializer=tf.zeros_initializer())
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    averages = tf.train.ExponentialMovingAverage(0.9)

    def moved() -> Any:
        with tf.control_dependencies([averages.apply([mean, variance])]):
            return tf.identity(mean), tf.identity(variance)

    def kept() -> Any:
        return averages.average(mean), averages.average(variance)

    chosen = tf.cond(training, moved, kept)
    return tf.nn.batch_normalization(x, *chosen, beta, gamma, 1e-3)


def by_hand_in_a_conditional() -> dict[str, Any]:
    outputs = by_hand(convolved(images(), 4, "conv"), phase())
    return {"train_op": minimized(loss_of(outputs)), "outputs": outputs}


def by_hand_in_two_phases() -> dict[str, Any]:
    """The averages wait for nobody; the program fetches them beside the train op."""
    x, gamma = dense(tf.placeholder(tf.float32, [None, 3]), 4, "in"), weights("bn/gamma", [4])
    moving = statistics([4], "bn/pop_mean", "bn/pop_var")
    batch = tf.nn.moments(x, [0])
    updates = [tf.assign(m, 0.9 * m + 0.1 * b) for m, b in zip(moving, batch)]
    trained = tf.nn.batch_normalization(x, *batch, None, gamma, 1e-3)
    tested = tf.nn.batch_normalization(x, *moving, None, gamma, 1e-3)
    return {"train_op": [minimized(loss_of(trained)), updates], "outputs": tested}


def by_hand_and_never_moved() -> dict[str, Any]:
    x, gamma = dense(tf.placeholder(tf.float32, [None, 3]), 4, "in"), weights("bn/gamma", [4])
    moving = statistics([4], "bn/pop_mean", "bn/pop_var")
    batch = tf.nn.moments(x, [0])
    for average, value in zip(moving, batch):
        tf.assign(average, 0.9 * average + 0.1 * value)
    trained = tf.nn.batch_normalization(x, *batch, None, gamma, 1e-3)
    tf.nn.batch_normalization(x, *moving, None, gamma, 1e-3)
    return {"train_op": with_updates(loss_of(trained))}


# -- tensorpack ------------------------------------------------------------------------------------


def of_tensorpack(x: Any, training: bool) -> Any:
    """The names and the way of tensorpack's BatchNorm."""
    gamma = tf.get_variable("gamma", [4], initializer=tf.ones_initializer())
    beta = tf.get_variable("beta", [4], initializer=tf.zeros_initializer())
    mean, variance = statistics([4], "mean/EMA", "variance/EMA")
    if not training:
        return tf.nn.fused_batch_norm(x, gamma, beta, mean, variance, is_training=False)[0]
    y, batch_mean, batch_variance = tf.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-5)
    for average, value in ((mean, batch_mean), (variance, batch_variance)):
        update = tf.assign_sub(average, (average - value) * 0.1)
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)
    return y


class RunUpdateOps(tf.train.SessionRunHook):  # type: ignore[misc, name-defined]
    """In the style of tensorpack's callback: another fetch of each step."""

    def begin(self) -> None:
        self.fetch = tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS), name="update_ops")

    def before_run(self, run_context: Any) -> Any:
        return tf.train.SessionRunArgs(self.fetch)


def hook_of_tensorpack() -> dict[str, Any]:
    with tf.variable_scope("bn"):
        x = of_tensorpack(convolved(images(), 4, "conv"), True)
    train_op = minimized(loss_of(x))
    hook = RunUpdateOps()
    hook.begin()
    return {"train_op": [train_op, hook.before_run(None).fetches]}


def hook_of_tensorpack_forgotten() -> dict[str, Any]:
    x = images()
    with tf.variable_scope("bn"):
        trained = of_tensorpack(convolved(x, 4, "conv"), True)
    with tf.variable_scope("bn", reuse=True):
        of_tensorpack(convolved(x, 4, "conv"), False)
    return {"train_op": minimized(loss_of(trained))}


# -- tf1_bn ----------------------------------------------------------------------------------------


def minimized_by_tf1_bn() -> dict[str, Any]:
    loss = loss_of(tf1_bn.batch_normalization(convolved(images(), 4, "conv"), training=phase()))
    return {"train_op": tf1_bn.minimize(tf.train.AdamOptimizer(1e-3), loss)}


def in_place_in_a_loop() -> dict[str, Any]:
    x, kernel = tf.placeholder(tf.float32, [None, 4]), weights("kernel", [4, 4])

    def body(count: Any, x: Any) -> Any:
        with tf1_bn.updates("in_place"):
            x = tf1_bn.batch_normalization(
                tf.matmul(x, kernel), training=True, name="bn", reuse=tf.AUTO_REUSE
            )
        return count + 1, x

    _, x = tf.while_loop(lambda count, _: count < 3, body, [0, x])
    return {"train_op": minimized(loss_of(x))}


def in_place_of_contrib() -> dict[str, Any]:
    x = tf1_bn.contrib.batch_norm(
        convolved(images(), 4, "conv"), is_training=phase(), updates_collections=None
    )
    return {"train_op": minimized(loss_of(x))}


def ghosts() -> dict[str, Any]:
    x = dense(tf.placeholder(tf.float32, [8, 3]), 4, "in")
    x = tf1_bn.batch_normalization(x, training=phase(), virtual_batch_size=4)
    return {"train_op": with_updates(loss_of(x))}


def numbers_for_a_phase() -> dict[str, Any]:
    x, kernel = tf.placeholder(tf.float32, [None, 3]), weights("kernel", [3, 4])
    trained = tf1_bn.batch_normalization(tf.matmul(x, kernel), training=1, name="bn")
    tested = tf1_bn.batch_normalization(tf.matmul(x, kernel), training=0, name="bn", reuse=True)
    return {"train_op": with_updates(loss_of(trained)), "outputs": tested}


def mirrored() -> dict[str, Any]:
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        x = tf.placeholder(tf.float32, [8, 3])

        def step() -> Any:
            outputs = tf1_bn.batch_normalization(dense(x, 4, "in"), training=True, name="bn")
            loss = loss_of(outputs)
            with tf.control_dependencies([with_updates(loss)]):
                return tf.identity(loss)

        run = getattr(strategy, "run", None) or strategy.experimental_run_v2
        return {"train_op": list(strategy.experimental_local_results(run(step)))}


# -- Keras, and slim with its scopes ---------------------------------------------------------------


def keras_model() -> Any:
    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)])
    return model, model(tf.placeholder(tf.float32, [None, 3]))


def keras_with_its_updates() -> dict[str, Any]:
    model, outputs = keras_model()
    return {"train_op": [minimized(loss_of(outputs)), model.updates], "outputs": outputs}


def keras_without_its_updates() -> dict[str, Any]:
    _, outputs = keras_model()
    return {"train_op": with_updates(loss_of(outputs))}


def keras_3_beside_an_optimizer_of_tf1() -> dict[str, Any]:
    """Keras 3 makes update ops that it hands to nobody."""
    layer = importlib.import_module("tensorflow").keras.layers.BatchNormalization()
    x = dense(tf.placeholder(tf.float32, [None, 3]), 4, "in")
    train_op = with_updates(loss_of(layer(x, training=True)))
    return {"train_op": train_op, "outputs": layer(x, training=False)}


def slim_with_an_arg_scope() -> dict[str, Any]:
    slim: Any = importlib.import_module("tensorflow.contrib.slim")
    given = {"is_training": True, "decay": 0.9, "updates_collections": tf.GraphKeys.UPDATE_OPS}
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=given):
        x = slim.conv2d(slim.conv2d(images(), 4, [3, 3]), 4, [3, 3])
    loss = loss_of(slim.fully_connected(tf.reduce_mean(x, [1, 2]), 2))
    tf.losses.add_loss(loss)
    total = tf.losses.get_total_loss()
    return {"train_op": slim.learning.create_train_op(total, tf.train.AdamOptimizer(1e-3))}


def model_fn_of_an_estimator() -> dict[str, Any]:
    modes = tf.estimator.ModeKeys

    def model_fn(features: Any, mode: Any) -> Any:
        training = mode == modes.TRAIN
        x = tf.layers.conv2d(features, 4, 3, use_bias=False)
        x = tf.nn.relu(tf.layers.batch_normalization(x, training=training))
        logits = tf.layers.dense(tf.reduce_mean(x, [1, 2]), 2)
        loss, step = loss_of(logits), tf.train.get_or_create_global_step()
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_op = tf.train.AdamOptimizer(1e-3).minimize(loss, step)
        return tf.estimator.EstimatorSpec(mode, logits, loss, train_op)

    spec = model_fn(images(), modes.TRAIN)
    return {"train_op": spec.train_op, "loss": spec.loss}


HAS_LAYERS = VERSION < (2, 16)
CORRECT: dict[str, Idiom] = {
    program.__name__: program
    for program in [
        by_hand_in_a_conditional,
        by_hand_in_two_phases,
        hook_of_tensorpack,
        minimized_by_tf1_bn,
        in_place_in_a_loop,
        in_place_of_contrib,
        ghosts,
        numbers_for_a_phase,
        mirrored,
        *([keras_with_its_updates, model_fn_of_an_estimator] if HAS_LAYERS else []),
        *([slim_with_an_arg_scope] if VERSION < (2, 0) else []),
    ]
}
BROKEN: dict[str, tuple[Idiom, str]] = {
    program.__name__: (program, code)
    for program, code in [
        (by_hand_and_never_moved, "BN311"),
        (hook_of_tensorpack_forgotten, "BN110"),
        (keras_without_its_updates, "BN311")
        if HAS_LAYERS
        else (keras_3_beside_an_optimizer_of_tf1, "BN311"),
    ]
}
