"""Merged statistics: towers and replicas together are one big batch."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.distribute.replica_support import (
    EPSILON,
    QUANTITIES,
    Shards,
    closed_form,
    make_shards,
    make_strategy,
    named,
    per_replica,
    replica,
    run,
    session_of,
    tf,
)
from tests.reference import normalized
from tests.tolerances import assert_close

MOMENTUM = 0.5
CHANNELS = 4
GAMMA = np.array([0.5, 1.5, 2.0, 0.8])
BETA = np.array([0.1, -0.4, 0.7, 2.0])
ARGUMENTS = {"momentum": MOMENTUM, "epsilon": EPSILON, "name": "bn"}


def _initializers() -> dict:
    def constant(value: Any) -> Any:
        return lambda shape, dtype=None, partition_info=None: tf.constant(
            value.reshape(shape), dtype
        )

    return {"gamma_initializer": constant(GAMMA), "beta_initializer": constant(BETA)}


def _placeholders(dtype: str, rank: int, count: int) -> list:
    return [tf.placeholder(dtype, _shape(rank)) for _ in range(count)]


def _shape(rank: int) -> list:
    # Rank 3 is for several channel axes, whose sizes must be known.
    return [None, 5, CHANNELS] if rank == 3 else [None] * (rank - 1) + [CHANNELS]


def _layer(inputs: Any, **arguments: Any) -> Any:
    arguments = {"training": True, **ARGUMENTS, **_initializers(), **arguments}
    return tf1_bn.batch_normalization(inputs, **arguments)


def _found(outputs: list, inputs: list, gamma: Any, beta: Any, statistics: list) -> dict:
    return {
        "outputs": np.concatenate(outputs),
        "inputs": np.concatenate(inputs),
        "gamma": gamma,
        "beta": beta,
        "moving_mean": statistics[0],
        "moving_variance": statistics[1],
    }


def with_towers(shards: Shards, dtype: str, **arguments: Any) -> dict:
    count = len(shards.inputs)
    xs, gs = (_placeholders(dtype, shards.whole.ndim, count) for _ in range(2))
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(lambda x: _layer(x, **arguments), xs)
    loss = tf.add_n([tf.reduce_sum(y * g) for y, g in zip(ys, gs)])
    gradients = tf.gradients(loss, [*xs, named("bn/gamma"), named("bn/beta")])
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        feed = dict(zip([*xs, *gs], [*shards.inputs, *shards.weights]))
        outputs, (*inputs, gamma, beta) = session.run([ys, gradients], feed)
        session.run(step, feed)
        statistics = session.run([named("bn/moving_mean"), named("bn/moving_variance")])
    return _found(outputs, inputs, gamma, beta, statistics)


def with_replicas(shards: Shards, dtype: str, **arguments: Any) -> dict:
    count = len(shards.inputs)
    xs, gs = (_placeholders(dtype, shards.whole.ndim, count) for _ in range(2))
    strategy = make_strategy(count)

    def step() -> Any:
        i = replica()
        y = _layer(xs[i], **arguments)
        loss = tf.reduce_sum(y * gs[i])
        with tf.control_dependencies(tf1_bn.update_ops_for(loss)):
            return (tf.identity(y), *_own_gradients(loss, xs[i]))

    with strategy.scope(), tf1_bn.cross_replica():
        results = [per_replica(strategy, result) for result in run(strategy, step)]
    with session_of(count) as session, strategy.scope():
        session.run(tf.global_variables_initializer())
        feed = dict(zip([*xs, *gs], [*shards.inputs, *shards.weights]))
        outputs, inputs, gamma, beta = session.run(results, feed)
        statistics = session.run([named("bn/moving_mean"), named("bn/moving_variance")])
    return _found(outputs, inputs, sum(gamma), sum(beta), statistics)


def _own_gradients(loss: Any, inputs: Any) -> list:
    """The replica's gradients of its input and, by an optimizer's way, of its gamma and beta."""
    optimizer = tf.train.GradientDescentOptimizer(0.0)
    of_variables = optimizer.compute_gradients(loss, var_list=tf.trainable_variables())
    return [tf.gradients(loss, inputs)[0], *[gradient for gradient, _ in of_variables]]


def big_batch(shards: Shards, dtype: str) -> dict:
    """The same layer, not merged and not fused, on the whole batch."""
    whole = Shards([shards.whole], [shards.whole_weights])
    (x,), (g,) = (_placeholders(dtype, shards.whole.ndim, 1) for _ in range(2))
    y = _layer(x, fused=False)
    loss = tf.reduce_sum(y * g)
    gradients = tf.gradients(loss, [x, named("bn/gamma"), named("bn/beta")])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        feed = {x: whole.inputs[0], g: whole.weights[0]}
        outputs, (inputs, gamma, beta) = session.run([y, gradients], feed)
        session.run(tf1_bn.update_ops_for(loss), feed)
        statistics = session.run([named("bn/moving_mean"), named("bn/moving_variance")])
    return _found([outputs], [inputs], gamma, beta, statistics)


WAYS = {"towers": with_towers, "replicas": with_replicas}
BATCHES = {
    "two unequal": make_shards([6, 3], [CHANNELS]),
    "three, one empty": make_shards([5, 0, 2], [CHANNELS]),
    "first empty": make_shards([0, 4], [CHANNELS]),
    "one value in a shard": make_shards([1, 7], [CHANNELS]),
    "images": make_shards([2, 5], [3, 2, CHANNELS]),
    "mean 1000, deviation 0.5": make_shards([5, 0, 9], [CHANNELS], far=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shards_are_one_big_batch(way: str, batch: str, dtype: str) -> None:
    shards = BATCHES[batch]
    expected = closed_form(shards, GAMMA, BETA, MOMENTUM)
    kernel = "merged, far" if "1000" in batch else "merged"

    found = WAYS[way](shards, dtype)

    for name, quantity in QUANTITIES.items():
        assert_close(found[name], expected[name], quantity, dtype, kernel, what=name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch", ["two unequal", "images", "mean 1000, deviation 0.5"])
def test_shards_are_the_big_batch_of_the_layer(way: str, batch: str) -> None:
    with tf.Graph().as_default():
        expected = big_batch(BATCHES[batch], "float32")
    kernel = "merged, far" if "1000" in batch else "merged"

    found = WAYS[way](BATCHES[batch], "float32")

    for name, quantity in QUANTITIES.items():
        assert_close(found[name], expected[name], quantity, "float32", kernel, what=name)


def test_a_naive_variance_would_be_seen() -> None:
    """The far batch tells merging from the mean of squares less the squared mean."""
    x = BATCHES["mean 1000, deviation 0.5"].whole.astype("float32")
    naive = (x * x).mean(0) - x.mean(0) ** 2
    expected = closed_form(BATCHES["mean 1000, deviation 0.5"], GAMMA, BETA, MOMENTUM)

    with pytest.raises(AssertionError, match="moving_variance"):
        found = MOMENTUM + (1.0 - MOMENTUM) * naive
        truth = expected["moving_variance"]
        assert_close(found, truth, "state", "float32", "merged, far", "moving_variance")


@pytest.mark.parametrize("way", WAYS)
def test_several_channel_axes(way: str) -> None:
    shards = make_shards([2, 3], [5, CHANNELS])
    found = WAYS[way](
        shards, "float64", axis=[1, 2], gamma_initializer="ones", beta_initializer="zeros"
    )

    mean = shards.whole.mean(0, keepdims=True)
    outputs = normalized(shards.whole, EPSILON, channel_axes=(1, 2))
    assert_close(found["outputs"], outputs, "output", "float64", "merged")
    assert_close(found["moving_mean"], 0.5 * mean, "state", "float64", "merged")


def test_an_empty_batch_in_all_towers_changes_nothing(session: Any) -> None:
    xs = _placeholders("float32", 2, 2)
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(_layer, xs)
    loss = tf.add_n([tf.reduce_sum(y**2) for y in ys])
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), loss)
    session.run(tf.global_variables_initializer())
    session.run(step, {x: np.ones([3, CHANNELS]) * [1, 2, 3, 4] for x in xs})
    before = session.run(tf.global_variables())
    assert before[2].all()

    session.run(step, {x: np.zeros([0, CHANNELS]) for x in xs})

    for old, new in zip(before, session.run(tf.global_variables())):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_phase_may_be_a_tensor(dtype: str, session: Any) -> None:
    shards = BATCHES["three, one empty"]
    (xs, gs), phase = (_placeholders(dtype, 2, 3) for _ in range(2)), tf.placeholder(tf.bool, [])
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(lambda x: _layer(x, training=phase), xs)
    loss = tf.add_n([tf.reduce_sum(y * g) for y, g in zip(ys, gs)])
    gradients = tf.gradients(loss, [*xs, named("bn/gamma")])
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    session.run(tf.global_variables_initializer())
    feed = dict(zip([*xs, *gs], [*shards.inputs, *shards.weights]))

    outputs, of, _ = session.run([ys, gradients, updates], {**feed, phase: False})
    normalized = shards.whole / np.sqrt(1.0 + EPSILON)
    inference = {
        "outputs": normalized * GAMMA + BETA,
        "inputs": shards.whole_weights * GAMMA / np.sqrt(1.0 + EPSILON),
        "gamma": (shards.whole_weights * normalized).sum(0),
    }
    found = {"outputs": np.concatenate(outputs), "inputs": np.concatenate(of[:3]), "gamma": of[3]}
    for name, expected in inference.items():
        assert_close(found[name], expected, QUANTITIES[name], dtype, "merged", name)
    np.testing.assert_array_equal(session.run(named("bn/moving_mean")), np.zeros(CHANNELS))

    outputs, of, _ = session.run([ys, gradients, updates], {**feed, phase: True})
    training = closed_form(shards, GAMMA, BETA, MOMENTUM)
    found = {"outputs": np.concatenate(outputs), "inputs": np.concatenate(of[:3]), "gamma": of[3]}
    for name, value in found.items():
        assert_close(value, training[name], QUANTITIES[name], dtype, "merged", name)
    for name in ("moving_mean", "moving_variance"):
        value = session.run(named(f"bn/{name}"))
        assert_close(value, training[name], "state", dtype, "merged", name)


def test_renorm_is_corrected_by_the_merged_batch(session: Any) -> None:
    shards = BATCHES["two unequal"]
    xs = _placeholders("float64", 2, 2)
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(lambda x: _layer(x, renorm=True, renorm_momentum=0.7), xs)
    loss = tf.add_n([tf.reduce_sum(y) for y in ys])
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss)
    session.run(tf.global_variables_initializer())
    session.run(named("bn/renorm_stddev").assign([2.0, 3.0, 4.0, 5.0]))
    session.run(step, dict(zip(xs, shards.inputs)))

    mean, stddev = shards.whole.mean(0), np.sqrt(shards.whole.var(0) + EPSILON)
    renorm_stddev = 0.7 * np.array([2.0, 3.0, 4.0, 5.0]) + 0.3 * stddev
    moving_stddev = 0.5 * 1.0 + 0.5 * stddev
    for name, value in (
        ("renorm_mean", 0.3 * mean),
        ("renorm_stddev", renorm_stddev),
        ("moving_mean", 0.5 * mean),
        ("moving_stddev", moving_stddev),
        ("moving_variance", moving_stddev**2 - EPSILON),
    ):
        # The rate 1 - momentum is rounded through float32, as TF1 does.
        assert_close(session.run(named(f"bn/{name}")), value, "state", "float64", "NumPy any")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_merges_in_float32(dtype: str, session: Any) -> None:
    values = [np.array([[1.0, -2.0], [3.0, 8.0]]), np.array([[8.0, 4.0]])]
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(
            lambda x: tf1_bn.batch_normalization(x, training=True, name="bn"),
            [tf.constant(value, dtype) for value in values],
        )
    gradient = tf.gradients(tf.reduce_sum(ys[0] ** 2), named("bn/gamma"))[0]
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    session.run(tf.global_variables_initializer())
    session.run(updates)

    assert {y.dtype.base_dtype.name for y in ys} == {dtype}
    assert named("bn/moving_mean").dtype.base_dtype == tf.float32
    assert np.isfinite(session.run(gradient)).all()
    found = session.run(named("bn/moving_mean"))
    assert_close(found, 0.01 * np.array([4.0, 10.0 / 3.0]), "state", "float32", "merged")


def test_chan_merges_what_numpy_finds(session: Any) -> None:
    shards = BATCHES["mean 1000, deviation 0.5"]
    parts = [
        tf1_bn.BatchStatistics(
            tf.constant(float(len(x)), tf.float64),
            tf.constant(x.mean(0) if len(x) else np.zeros(CHANNELS)),
            tf.constant(x.var(0) * len(x) if len(x) else np.zeros(CHANNELS)),
        )
        for x in shards.inputs
    ]

    count, mean, m2 = session.run(tf1_bn.merge_statistics(parts))

    assert count == len(shards.whole)
    assert_close(mean, shards.whole.mean(0), "state", "float64", "merged")
    assert_close(m2 / count, shards.whole.var(0), "state", "float64", "merged")


def test_a_merge_of_ones_own(session: Any) -> None:
    """A callable alone, without towers or replicas: here it adds what another process saw."""
    elsewhere = np.array([[7.0, 1.0], [5.0, -3.0]])

    def merge(own: Any) -> Any:
        assert own.count.shape.ndims == 0 and own.mean.shape.as_list() == [2]
        other = tf1_bn.BatchStatistics(
            tf.constant(2.0),
            tf.constant(elsewhere.mean(0), tf.float32),
            tf.constant(elsewhere.var(0) * 2.0, tf.float32),
        )
        return tf1_bn.merge_statistics([own, other])

    here = np.array([[1.0, 2.0], [3.0, 8.0], [2.0, 2.0]])
    x = tf.placeholder(tf.float32, [None, 2])
    with tf1_bn.cross_replica(merge):
        by_scope = tf1_bn.batch_normalization(x, training=True, name="scope")
    layer = tf1_bn.SyncBatchNormalization(cross_replica=merge, name="layer")
    by_class = layer(x, training=True)
    session.run(tf.global_variables_initializer())

    expected = normalized(np.concatenate([here, elsewhere]), EPSILON)[: len(here)]
    for found in session.run([by_scope, by_class], {x: here}):
        assert_close(found, expected, "output", "float32", "merged")
    assert layer.get_config()["cross_replica"] is merge


def test_the_class_merges_in_towers_and_takes_an_outer_scope(session: Any) -> None:
    shards = BATCHES["two unequal"]
    expected = closed_form(shards, 1.0, 0.0, MOMENTUM)
    xs = _placeholders("float64", 2, 2)
    layer = tf1_bn.SyncBatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name="bn")
    ys = tf1_bn.run_towers(lambda x: layer(x, training=True), xs)
    session.run(tf.global_variables_initializer())

    found = session.run(ys, dict(zip(xs, shards.inputs)))

    assert_close(np.concatenate(found), expected["outputs"], "output", "float64", "merged")
    assert not layer.fused
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2
    seen = []

    def merge(own: Any) -> Any:
        seen.append(own)
        return own

    with tf1_bn.cross_replica(merge):
        layer(xs[0], training=True)
    assert len(seen) == 1
    # The shared layer object is left as it was before the towers.
    with tf.variable_scope("elsewhere"):
        assert layer.add_weight("more", [2]).op.name == "bn/more"


def test_inference_is_left_alone(session: Any) -> None:
    x = tf.placeholder(tf.float32, [None, 2, 3, 4])
    with tf1_bn.cross_replica():
        tf1_bn.batch_normalization(x, training=False, name="bn")
        tf1_bn.SyncBatchNormalization()(x)

    operations = {op.type for op in session.graph.get_operations()}
    assert "FusedBatchNormV3" in operations and "Mean" not in operations


def test_outside_of_the_scope_nothing_is_merged(session: Any) -> None:
    shards = BATCHES["two unequal"]
    xs = _placeholders("float64", 2, 2)
    ys = tf1_bn.run_towers(_layer, xs)
    session.run(tf.global_variables_initializer())

    for found, x in zip(session.run(ys, dict(zip(xs, shards.inputs))), shards.inputs):
        alone = closed_form(Shards([x], [x]), GAMMA, BETA, MOMENTUM)["outputs"]
        assert_close(found, alone, "output", "float64", "merged")


def test_what_cannot_be_merged_is_named() -> None:
    x = tf.placeholder(tf.float32, [None, 4])
    with pytest.raises(TypeError, match="`merge`.*'mean'"):
        tf1_bn.cross_replica("mean").__enter__()
    with pytest.raises(TypeError, match="`cross_replica`.*3"):
        tf1_bn.SyncBatchNormalization(cross_replica=3)
    with tf1_bn.cross_replica(), pytest.raises(ValueError, match="run_towers"):
        tf1_bn.batch_normalization(x, training=True, name="alone")
    with tf1_bn.cross_replica(lambda own: own.mean), pytest.raises(TypeError, match="`merge`"):
        tf1_bn.batch_normalization(x, training=True, name="wrong")
    with tf1_bn.cross_replica(lambda own: own), pytest.raises(ValueError, match="virtual_batch"):
        tf1_bn.batch_normalization(x, training=True, virtual_batch_size=2, name="ghosts")
    with pytest.raises(ValueError, match="`parts`"):
        tf1_bn.merge_statistics([])
    # No scope has stayed open.
    tf1_bn.batch_normalization(x, training=True, name="plain")


@pytest.mark.parametrize("way", WAYS)
def test_no_graph_lives_on(way: str) -> None:
    def build() -> Any:
        with tf.Graph().as_default() as graph:
            WAYS[way](BATCHES["two unequal"], "float32")
        return weakref.ref(graph)

    references = [build() for _ in range(3)]
    gc.collect()

    assert [reference() for reference in references] == [None] * 3
    with tf.Graph().as_default() as kept:
        assert weakref.ref(kept)() is kept
