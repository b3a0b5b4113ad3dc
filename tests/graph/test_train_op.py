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


class Towers(NamedTuple):
    """Two towers that share a layer; `found` is the loss of both."""

    feeds: list
    layer: Any
    found: Any


def _towers(count: int = 2, training: Any = True, **arguments: Any) -> Towers:
    feeds = [tf.placeholder(tf.float32, [None, 3]) for _ in range(count)]
    layer = tf1_bn.BatchNormalization(momentum=0.5, name="bn", **arguments)
    outputs = [layer(x, training=training) for x in feeds]
    weighted = [tf.reduce_mean(y**2 * [1.0, 2.0, 3.0]) for y in outputs]
    return Towers(feeds, layer, tf.add_n(weighted))


def _no_step(loss: Any, towers: str) -> Any:
    return tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss, towers=towers)


BATCHES = [distinct(6, 3), distinct(8, 3, seed=9) + 4.0, distinct(5, 3, seed=3) * 2.0]


def _moved(old: Any, towards: list, policy: str, momentum: float = 0.5) -> Any:
    """A moving average after one step, in closed form."""
    chosen = {"all": towards, "first": towards[:1], "averaged": [np.mean(towards, 0)]}[policy]
    for value in chosen:
        old = momentum * old + (1.0 - momentum) * value
    return old


@pytest.mark.parametrize("policy", ["all", "first", "averaged"])
def test_who_updates_the_statistics_of_towers(policy: str, session: Any) -> None:
    towers = _towers(3)
    step = _no_step(towers.found, policy)
    session.run(tf.global_variables_initializer())
    mean, variance = np.zeros(3), np.ones(3)
    batches = [batch.astype("float64") for batch in BATCHES]

    for _ in range(2):
        session.run(step, dict(zip(towers.feeds, BATCHES)))
        mean = _moved(mean, [batch.mean(0) for batch in batches], policy)
        variance = _moved(variance, [batch.var(0) for batch in batches], policy)

    assert_close(session.run(towers.layer.moving_mean), mean, "state", "float32", "NumPy any")
    assert_close(
        session.run(towers.layer.moving_variance), variance, "state", "float32", "NumPy any"
    )


@pytest.mark.parametrize("policy", ["all", "first", "averaged"])
def test_who_updates_the_renorm_of_towers(policy: str, session: Any) -> None:
    towers = _towers(renorm=True, renorm_momentum=0.75, epsilon=0.01)
    step = _no_step(towers.found, policy)
    session.run(tf.global_variables_initializer())
    outputs = session.run(towers.found, dict(zip(towers.feeds, BATCHES)))
    feed = dict(zip(towers.feeds, BATCHES))
    loss, _ = session.run([towers.found, step], feed)

    batches = [batch.astype("float64") for batch in BATCHES[:2]]
    means = [batch.mean(0) for batch in batches]
    variances = [batch.var(0) for batch in batches]
    stddevs = [np.sqrt(variance + 0.01) for variance in variances]
    if policy == "averaged":
        # One update, as of one batch whose variance is the mean of theirs.
        stddevs = [np.sqrt(np.mean(variances, 0) + 0.01)]
    moving_stddev = _moved(np.ones(3), stddevs, policy)
    expected = {
        "renorm_mean": _moved(np.zeros(3), means, policy, 0.75),
        "renorm_stddev": _moved(np.ones(3), stddevs, policy, 0.75),
        "moving_mean": _moved(np.zeros(3), means, policy),
        "moving_stddev": moving_stddev,
        "moving_variance": moving_stddev**2 - 0.01,
    }
    for name, value in expected.items():
        assert_close(
            session.run(getattr(towers.layer, name)), value, "state", "float32", "NumPy any", name
        )
    # All towers were corrected by the averages as they were before the step.
    assert loss == outputs


@pytest.mark.parametrize("ghosts", [None, 2])
def test_averaged_towers_leave_out_empty_ones(ghosts: Any, session: Any) -> None:
    towers = _towers(3, virtual_batch_size=ghosts)
    step = _no_step(towers.found, "averaged")
    session.run(tf.global_variables_initializer())
    first, third = BATCHES[0], BATCHES[1]
    session.run(step, dict(zip(towers.feeds, [first, first[:0], third])))
    expected = 0.5 * (first.astype("float64").mean(0) + third.astype("float64").mean(0)) / 2.0
    found = session.run(towers.layer.moving_mean).reshape(-1)
    assert_close(found, expected, "state", "float32", "NumPy any")

    before = session.run(towers.layer.non_trainable_variables)
    session.run(step, dict.fromkeys(towers.feeds, first[:0]))
    for old, new in zip(before, session.run(towers.layer.non_trainable_variables)):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("policy", ["all", "first", "averaged"])
def test_every_policy_keeps_the_statistics_still_in_inference(policy: str, session: Any) -> None:
    training = tf.placeholder(tf.bool, [])
    towers = _towers(2, training)
    step = _no_step(towers.found, policy)
    session.run(tf.global_variables_initializer())
    feed = dict(zip(towers.feeds, BATCHES))
    session.run(step, {**feed, training: True})
    before = session.run(towers.layer.non_trainable_variables)
    expected = _moved(np.zeros(3), [b.astype("float64").mean(0) for b in BATCHES[:2]], policy)
    assert_close(before[0], expected, "state", "float32", "NumPy any")

    session.run(step, {**feed, training: False})

    for old, new in zip(before, session.run(towers.layer.non_trainable_variables)):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("policy", ["all", "first", "averaged"])
def test_policies_leave_layers_of_one_tower_and_foreign_updates_alone(
    policy: str, session: Any
) -> None:
    towers = _towers(2)
    single = tf1_bn.BatchNormalization(momentum=0.5, name="single")
    loss = towers.found + tf.reduce_mean(single(towers.feeds[1] * 2.0, training=True) ** 3)
    counter = tf.get_variable("counter", [], initializer=tf.zeros_initializer(), trainable=False)
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, counter.assign_add(1.0))
    step = _no_step(loss, policy)
    session.run(tf.global_variables_initializer())

    session.run(step, dict(zip(towers.feeds, BATCHES)))

    assert session.run(counter) == 1.0
    expected = BATCHES[1].astype("float64").mean(0)
    assert_close(session.run(single.moving_mean), expected, "state", "float32", "NumPy any")


def test_update_ops_of_a_policy() -> None:
    towers = _towers(2)
    collected = update_ops()

    assert tf1_bn.update_ops_for(towers.found) == collected
    assert tf1_bn.update_ops_for(towers.found, towers="first") == collected[:2]
    averaged = tf1_bn.update_ops_for(towers.found, towers="averaged")
    assert len(averaged) == 2 and not set(averaged) & set(collected)
    # The collection is as TF1 leaves it.
    assert update_ops() == collected


def test_contrib_towers_are_averaged_too(session: Any) -> None:
    feeds = [tf.placeholder(tf.float32, [None, 3]) for _ in range(2)]
    outputs = [
        tf1_bn.contrib.batch_norm(x, decay=0.5, scope="bn", reuse=tf.AUTO_REUSE) for x in feeds
    ]
    loss = tf.add_n([tf.reduce_mean(y**3) for y in outputs])
    step = _no_step(loss, "averaged")
    session.run(tf.global_variables_initializer())

    session.run(step, dict(zip(feeds, BATCHES)))

    expected = 0.5 * np.mean([batch.astype("float64").mean(0) for batch in BATCHES[:2]], 0)
    moving_mean = next(v for v in tf.global_variables() if "moving_mean" in v.name)
    assert_close(session.run(moving_mean), expected, "state", "float32", "NumPy any")


def test_the_updates_come_before_the_gradients_are_applied_sparse_ones_too(session: Any) -> None:
    """Also where a variable's gradient is sparse, and its update alone is fetched."""
    table = tf.get_variable("table", [5, 3], initializer=tf.ones_initializer())
    rows = tf.nn.embedding_lookup(table, [0, 2, 2, 4]) * [[1.0], [2.0], [3.0], [4.0]]
    layer = tf1_bn.BatchNormalization(momentum=0.5, name="bn")
    loss = tf.reduce_sum(layer(rows, training=True) ** 3)
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), loss, var_list=[table])
    session.run(tf.global_variables_initializer())

    session.run(step)

    # 1, 2, 3, 4 in every column: the mean of the rows before the table has moved.
    assert_close(session.run(layer.moving_mean), np.full(3, 1.25), "state", "float32", "NumPy any")
    moved = session.run(table) != 1.0
    assert moved[[0, 2, 4]].all() and not moved[[1, 3]].any()


def test_what_an_optimizer_puts_beside_the_step_does_not_wait_for_updates() -> None:
    """A queue runner of SyncReplicasOptimizer has no batch (tensorflow/tensorflow#20834)."""

    class Optimizer(tf.train.GradientDescentOptimizer):
        def apply_gradients(self, *args: Any, **kwargs: Any) -> Any:
            self.beside = tf.no_op("beside")
            return super().apply_gradients(*args, **kwargs)

    inputs = tf.placeholder(tf.float32, [None, 3])
    loss = tf.reduce_sum(tf1_bn.batch_normalization(inputs, training=True) ** 3)
    optimizer = Optimizer(0.1)
    tf1_bn.minimize(optimizer, loss)

    assert list(optimizer.beside.control_inputs) == []


@pytest.mark.parametrize("entry", ["minimize", "averaged"])
def test_a_loss_of_another_graph_is_named_before_anything_is_built(entry: str) -> None:
    other = tf.Graph()
    with other.as_default():
        layer = tf1_bn.BatchNormalization(name="bn")
        outputs = [layer(tf.placeholder(tf.float32, [6, 3]), training=True) for _ in range(2)]
        loss = tf.reduce_sum(tf.add_n(outputs))
    here = tf.get_default_graph()
    before = len(here.get_operations()), len(other.get_operations())

    with pytest.raises(ValueError) as raised:
        if entry == "minimize":
            tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.5), loss)
        else:
            tf1_bn.update_ops_for(loss, entry)

    assert repr(here) in str(raised.value) and repr(other) in str(raised.value)
    assert "`loss`" in str(raised.value) and loss.name in str(raised.value)
    assert (len(here.get_operations()), len(other.get_operations())) == before
    # Nothing is built for the other policies.
    assert len(tf1_bn.update_ops_for(loss)) == 4
    assert len(tf1_bn.update_ops_for(loss, "first")) == 2


def test_a_policy_that_is_none_is_named() -> None:
    loss = _towers().found
    for call in (tf1_bn.update_ops_for, lambda loss, towers: _no_step(loss, towers)):
        with pytest.raises(ValueError, match="`towers`.*'mean'"):
            call(loss, towers="mean")


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
