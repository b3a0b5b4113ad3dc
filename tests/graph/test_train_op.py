"""`minimize` runs the updates its loss depends on: no more, no less, and in order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import tf1_bn
from tests.graph.support import distinct, tf, update_ops
from tests.tolerances import assert_close


class Gan(NamedTuple):
    noise: Any
    real: Any
    fake: Any
    layer: Any
    generator_loss: Any
    discriminator_loss: Any


def _gan(momentum: float = 0.9, **arguments: Any) -> Gan:
    """A generator with a layer of its own, and a discriminator layer called on real and fake."""
    noise = tf.placeholder(tf.float32, [None, 4])
    real = tf.placeholder(tf.float32, [None, 4])
    with tf.variable_scope("generator"):
        weights = tf.get_variable("weights", [4, 4], initializer=tf.ones_initializer())
        fake = tf1_bn.batch_normalization(tf.matmul(noise, weights), training=True, name="bn")
        fake = fake * [1.0, 2.0, 3.0, 4.0] + [5.0, 6.0, 7.0, 8.0]
    layer = tf1_bn.BatchNormalization(momentum=momentum, name="discriminator", **arguments)
    on_real, on_fake = layer(real, training=True), layer(fake, training=True)
    fooled = tf.reduce_mean(on_fake**3)
    return Gan(noise, real, fake, layer, fooled, tf.reduce_mean(on_real**3) - fooled)


def _names(operations: Any) -> list:
    return [op.name.replace("/AssignSubVariableOp", "") for op in operations]


GENERATOR = ["generator/bn/AssignMovingAvg", "generator/bn/AssignMovingAvg_1"]
ON_REAL = ["discriminator/AssignMovingAvg", "discriminator/AssignMovingAvg_1"]
ON_FAKE = ["discriminator/AssignMovingAvg_2", "discriminator/AssignMovingAvg_3"]


def test_each_loss_has_the_updates_of_the_calls_it_is_computed_from() -> None:
    gan = _gan()

    assert _names(tf1_bn.update_ops_for(gan.generator_loss)) == GENERATOR + ON_FAKE
    assert _names(tf1_bn.update_ops_for(gan.discriminator_loss)) == GENERATOR + ON_REAL + ON_FAKE
    assert _names(update_ops()) == GENERATOR + ON_REAL + ON_FAKE


def test_the_generator_step_needs_no_real_data(session: Any) -> None:
    gan = _gan()
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), gan.generator_loss)
    session.run(tf.global_variables_initializer())

    noise = distinct(8, 4)
    session.run(step, {gan.noise: noise})

    fake = session.run(gan.fake, {gan.noise: noise})
    expected = 0.1 * fake.astype("float64").mean(0)
    assert_close(session.run(gan.layer.moving_mean), expected, "state", "float32")


@pytest.mark.parametrize(
    "arguments", [{}, {"renorm": True, "renorm_momentum": 0.6}, {"virtual_batch_size": 2}]
)
def test_two_calls_of_a_layer_are_applied_one_after_the_other(
    arguments: dict, session: Any
) -> None:
    gan = _gan(**arguments)
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), gan.discriminator_loss)
    session.run(tf.global_variables_initializer())

    noise, real = distinct(8, 4), distinct(6, 4, seed=8)
    session.run(step, {gan.noise: noise, gan.real: real})

    fake = session.run(gan.fake, {gan.noise: noise})
    mean = 0.0
    for batch in (real, fake):
        mean = 0.9 * mean + 0.1 * batch.astype("float64").mean(0)
    found = session.run(gan.layer.moving_mean).reshape(-1)
    assert_close(found, mean, "state", "float32")
    if "renorm" in arguments:
        averaged = 0.0
        for batch in (real, fake):
            averaged = 0.6 * averaged + 0.4 * batch.astype("float64").mean(0)
        assert_close(session.run(gan.layer.renorm_mean), averaged, "state", "float32")


def test_two_towers_update_once_each_without_a_race(session: Any) -> None:
    feeds = [tf.placeholder(tf.float32, [None, 3]) for _ in range(2)]
    losses = []
    for tower, inputs in enumerate(feeds):
        with tf.name_scope(f"tower_{tower}"), tf.variable_scope("net", reuse=tower > 0):
            outputs = tf1_bn.batch_normalization(inputs, training=True, momentum=0.5, name="bn")
            losses.append(tf.reduce_mean(outputs**2))
    first = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), losses[0])
    both = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), tf.add_n(losses))
    session.run(tf.global_variables_initializer())
    moving_mean = next(v for v in tf.global_variables() if v.op.name == "net/bn/moving_mean")
    data = [distinct(6, 3), distinct(8, 3, seed=9)]

    session.run(first, {feeds[0]: data[0]})
    expected = 0.5 * data[0].astype("float64").mean(0)
    assert_close(session.run(moving_mean), expected, "state", "float32")

    session.run(both, dict(zip(feeds, data)))
    for batch in data:
        expected = 0.5 * expected + 0.5 * batch.astype("float64").mean(0)
    assert_close(session.run(moving_mean), expected, "state", "float32")


def test_a_phase_placeholder_keeps_the_statistics_still(session: Any) -> None:
    inputs, training = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.bool, [])
    layer = tf1_bn.BatchNormalization(name="bn")
    loss = tf.reduce_sum(layer(inputs, training=training)) + tf.reduce_sum(
        layer(inputs + 1.0, training=training) ** 2
    )
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss)
    session.run(tf.global_variables_initializer())
    x = distinct(6, 3)
    session.run(step, {inputs: x, training: True})
    before = session.run(layer.non_trainable_variables)
    assert before[0].all()

    session.run(step, {inputs: x, training: False})

    for old, new in zip(before, session.run(layer.non_trainable_variables)):
        np.testing.assert_array_equal(old, new)


def test_foreign_updates_run_unless_they_need_other_data(session: Any) -> None:
    inputs, elsewhere = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.float32, [])
    counter = tf.get_variable("counter", [], initializer=tf.zeros_initializer(), trainable=False)
    for update in (counter.assign_add(1.0), counter.assign_add(elsewhere)):
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)
    loss = tf.reduce_mean(tf1_bn.batch_normalization(inputs, training=True) ** 3)

    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), loss)
    session.run(tf.global_variables_initializer())
    session.run(step, {inputs: distinct(6, 3)})

    assert session.run(counter) == 1.0


def test_a_layer_the_loss_does_not_reach_is_left_alone() -> None:
    inputs = tf.placeholder(tf.float32, [None, 3])
    tf1_bn.batch_normalization(inputs, training=True, name="unused")
    used = tf1_bn.batch_normalization(inputs, training=True, name="used")

    found = _names(tf1_bn.update_ops_for(tf.reduce_sum(used)))

    assert found == ["used/AssignMovingAvg", "used/AssignMovingAvg_1"]


def test_an_untrainable_layer_has_no_updates() -> None:
    inputs = tf.placeholder(tf.float32, [None, 3])
    loss = tf.reduce_sum(tf1_bn.batch_normalization(inputs, training=True, trainable=False))

    assert tf1_bn.update_ops_for(loss) == []


def test_the_step_trains_counts_and_agrees_with_the_classic_spelling(session: Any) -> None:
    finals = []
    for spelling in ("helper", "classic"):
        with tf.variable_scope(spelling):
            inputs = tf.constant(distinct(6, 3))
            weights = tf.get_variable("w", [3, 3], initializer=tf.initializers.identity())
            outputs = tf1_bn.batch_normalization(tf.matmul(inputs, weights), training=True)
            loss = tf.reduce_mean((outputs - [0.5, 1.0, 2.0]) ** 2)
            count = tf.get_variable("count", [], tf.int64, tf.zeros_initializer(), trainable=False)
        variables = tf.trainable_variables(spelling)
        optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
        if spelling == "helper":
            step = tf1_bn.minimize(optimizer, loss, global_step=count, var_list=variables)
        else:
            ours = tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope=spelling)
            with tf.control_dependencies(ours):
                step = optimizer.minimize(loss, global_step=count, var_list=variables)
        session.run(tf.global_variables_initializer())
        for _ in range(5):
            session.run(step)
        finals.append(session.run(tf.global_variables(spelling)))
        assert session.run(count) == 5

    for helper, classic in zip(*finals):
        assert_close(helper, classic, "state", "float32")


def test_what_is_no_optimizer_or_loss_is_named() -> None:
    loss = tf.reduce_sum(tf.get_variable("w", [2]))

    with pytest.raises(TypeError, match="`optimizer`.*'adam'"):
        tf1_bn.minimize("adam", loss)
    with pytest.raises(TypeError, match="`loss`.*0.5"):
        tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), 0.5)
    with pytest.raises(TypeError, match="`loss`"):
        tf1_bn.update_ops_for([loss])
