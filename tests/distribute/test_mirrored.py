"""tf.distribute in graph mode: what each replica keeps, what is read, saved and restored."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.conftest import tf_version
from tests.distribute import graph_mode_support
from tests.distribute.replica_support import (
    make_shards,
    make_strategy,
    named,
    per_replica,
    replica,
    run,
    session_of,
    tf,
)
from tests.meta.project import ROOT
from tests.reference import normalized
from tests.tolerances import assert_close

MOMENTUM = 0.5


def _train(strategy: Any, optimizer: Any, **arguments: Any) -> tuple:
    """Placeholders of the replicas and the op that takes one step in all of them."""
    xs = [tf.placeholder(tf.float32, [None, 3]) for _ in range(strategy.num_replicas_in_sync)]
    settings = {"training": True, "momentum": MOMENTUM, "name": "bn", **arguments}

    def step() -> Any:
        y = tf1_bn.batch_normalization(xs[replica()], **settings)
        loss = tf.reduce_mean(y**2 * [1.0, 2.0, 3.0]) + tf.reduce_sum(y[:1]) * 0.25
        # The v1 optimizers add the gradients of the replicas up.
        loss = loss / strategy.num_replicas_in_sync
        count = tf.train.get_or_create_global_step()
        with tf.control_dependencies([tf1_bn.minimize(optimizer, loss, global_step=count)]):
            return tf.identity(loss)

    with strategy.scope():
        tf.train.get_or_create_global_step()
        losses = run(strategy, step)
        return xs, strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)


def _read(session: Any, strategy: Any, name: str) -> Any:
    """The aggregated value: on TF 1.15 that needs the strategy's scope."""
    with strategy.scope():
        return session.run(named(name).read_value())


def _own(session: Any, strategy: Any, name: str) -> list:
    return session.run(per_replica(strategy, named(name)))


@pytest.mark.parametrize("replicas", [2, 3])
def test_each_replica_keeps_its_own_statistics_read_as_their_mean(replicas: int) -> None:
    strategy = make_strategy(replicas)
    xs, step = _train(strategy, tf.train.GradientDescentOptimizer(0.1))
    shards = make_shards([4, 3, 6][:replicas], [3])

    for name in ("moving_mean", "moving_variance"):
        variable = named(f"bn/{name}")
        assert variable.aggregation == tf.VariableAggregation.MEAN
        assert len(per_replica(strategy, variable)) == replicas
    with session_of(replicas) as session:
        session.run(tf.global_variables_initializer())
        session.run(step, dict(zip(xs, shards.inputs)))

        means = [0.5 * x.mean(0) for x in shards.inputs]
        variances = [0.5 + 0.5 * x.var(0) for x in shards.inputs]
        for name, expected in (("moving_mean", means), ("moving_variance", variances)):
            own = np.array(_own(session, strategy, f"bn/{name}"))
            assert_close(own, np.array(expected), "state", "float32", "merged")
            read = _read(session, strategy, f"bn/{name}")
            assert_close(read, np.mean(expected, 0), "state", "float32", "merged")
        gammas = _own(session, strategy, "bn/gamma")
        assert session.run(tf.train.get_global_step()) == 1
    # gamma has learned, the same in all replicas.
    assert abs(gammas[0] - 1.0).min() > 0.01
    for gamma in gammas[1:]:
        np.testing.assert_array_equal(gamma, gammas[0])


@pytest.mark.parametrize("around", [True, False])
def test_in_place_each_replica_moves_its_own_statistics(around: bool) -> None:
    strategy = make_strategy(2)
    shards = make_shards([4, 7], [3])
    xs = [tf.placeholder(tf.float32, [None, 3]) for _ in range(2)]

    def forward() -> Any:
        with contextlib.nullcontext() if around else tf1_bn.updates("in_place"):
            y = tf1_bn.batch_normalization(
                xs[replica()], training=True, momentum=MOMENTUM, name="bn"
            )
        return tf.reduce_sum(y)

    with strategy.scope(), tf1_bn.updates("in_place") if around else contextlib.nullcontext():
        sums = strategy.reduce(tf.distribute.ReduceOp.SUM, run(strategy, forward), axis=None)
    with session_of(2) as session:
        session.run(tf.global_variables_initializer())
        session.run(sums, dict(zip(xs, shards.inputs)))

        own = np.array(_own(session, strategy, "bn/moving_mean"))
    expected = [(1 - MOMENTUM) * x.mean(0) for x in shards.inputs]
    assert_close(own, np.array(expected), "state", "float32", "merged")
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []


def test_update_ops_are_those_of_each_replica() -> None:
    _train(make_strategy(2), tf.train.GradientDescentOptimizer(0.1))

    updates = [op.name for op in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
    assert [name.startswith("replica_1/") for name in updates] == [False, False, True, True]
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope="replica_1/")) == 2


def test_the_averages_are_those_of_the_averaged_policy(session: Any) -> None:
    """MEAN aggregation and `towers="averaged"` agree: mean of means, mean of variances."""
    shards = make_shards([4, 7], [3])
    xs = [tf.placeholder(tf.float32, [None, 3]) for _ in range(2)]
    settings = {"training": True, "momentum": MOMENTUM, "name": "bn"}
    ys = tf1_bn.run_towers(lambda x: tf1_bn.batch_normalization(x, **settings), xs)
    loss = tf.add_n([tf.reduce_sum(y) for y in ys])
    optimizer = tf.train.GradientDescentOptimizer(0.0)
    step = tf1_bn.minimize(optimizer, loss, towers="averaged")
    session.run(tf.global_variables_initializer())
    for _ in range(3):
        session.run(step, dict(zip(xs, shards.inputs)))
    of_towers = session.run([named("bn/moving_mean"), named("bn/moving_variance")])

    with tf.Graph().as_default(), session_of(2) as replicated:
        strategy = make_strategy(2)
        xs, step = _train(strategy, tf.train.GradientDescentOptimizer(0.0))
        replicated.run(tf.global_variables_initializer())
        for _ in range(3):
            replicated.run(step, dict(zip(xs, shards.inputs)))
        for name, tower in zip(("moving_mean", "moving_variance"), of_towers):
            read = _read(replicated, strategy, f"bn/{name}")
            assert_close(read, tower, "state", "float32", "merged")


@pytest.mark.parametrize("optimizer", ["GradientDescent", "Momentum", "Adam", "RMSProp"])
def test_replicas_with_one_batch_learn_what_one_device_does(optimizer: str) -> None:
    arguments = [0.1, 0.9] if optimizer == "Momentum" else [0.1]
    batch = make_shards([4], [3]).inputs[0]
    learned = []
    for replicas in (1, 2):
        with tf.Graph().as_default(), session_of(2) as session:
            strategy = make_strategy(replicas)
            with strategy.scope():
                made = getattr(tf.train, f"{optimizer}Optimizer")(*arguments)
            xs, step = _train(strategy, made)
            session.run(tf.global_variables_initializer())
            for _ in range(3):
                session.run(step, dict.fromkeys(xs, batch))
            learned.append(_read(session, strategy, "bn/gamma"))

    assert abs(learned[0] - 1.0).min() > 0.01
    assert_close(learned[1], learned[0], "state", "float32", "merged")


def test_an_empty_replica_is_safe() -> None:
    strategy = make_strategy(2)
    with strategy.scope():
        optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
    xs, step = _train(strategy, optimizer)
    full = make_shards([5], [3]).inputs[0]
    with session_of(2) as session:
        session.run(tf.global_variables_initializer())
        session.run(step, {xs[0]: full, xs[1]: np.zeros([0, 3])})

        with strategy.scope():
            everything = session.run(tf.global_variables())
        assert all(np.isfinite(value).all() for value in everything)
        first, second = _own(session, strategy, "bn/moving_mean")
    assert_close(first, 0.5 * full.mean(0), "state", "float32", "merged")
    np.testing.assert_array_equal(second, np.zeros(3))


def test_the_phase_is_a_placeholder_and_renorm_counts() -> None:
    strategy, phase = make_strategy(2), tf.placeholder(tf.bool, [])
    optimizer = tf.train.GradientDescentOptimizer(0.0)
    xs, step = _train(strategy, optimizer, training=phase, renorm=True, renorm_momentum=0.6)
    shards = make_shards([4, 7], [3])
    with session_of(2) as session:
        session.run(tf.global_variables_initializer())
        feed = dict(zip(xs, shards.inputs))
        session.run(step, {**feed, phase: False})
        assert not _read(session, strategy, "bn/moving_mean").any()

        session.run(step, {**feed, phase: True})

        expected = np.mean([0.4 * x.mean(0) for x in shards.inputs], 0)
        found = _read(session, strategy, "bn/renorm_mean")
        assert_close(found, expected, "state", "float32", "merged")


@pytest.mark.parametrize("within", [True, False], ids=["in scope", "outside"])
def test_checkpoints_go_both_ways(within: bool, tmp_path: Any) -> None:
    """Saved from two replicas, restored and trained in one, saved, restored in two."""
    shards = make_shards([4, 7], [3])
    path = str(tmp_path / "model")
    strategy = make_strategy(2)
    xs, step = _train(strategy, tf.train.GradientDescentOptimizer(0.1))
    if within:
        with strategy.scope():
            saver = tf.train.Saver()
    else:
        saver = tf.train.Saver()
    with session_of(2) as session:
        session.run(tf.global_variables_initializer())
        session.run(step, dict(zip(xs, shards.inputs)))
        saved = saver.save(session, path)
        gamma = _own(session, strategy, "bn/gamma")[0]
    mean = np.mean([0.5 * x.mean(0) for x in shards.inputs], 0)

    names = [name for name, _ in tf.train.list_variables(saved)]
    assert sorted(names) == [
        "bn/beta", "bn/gamma", "bn/moving_mean", "bn/moving_variance", "global_step"
    ]  # fmt: skip
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 3])
        y = tf1_bn.batch_normalization(x, training=True, momentum=MOMENTUM, name="bn")
        step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), tf.reduce_sum(y))
        tf.train.get_or_create_global_step()
        saver = tf.train.Saver()
        saver.restore(session, saved)
        assert_close(session.run(named("bn/moving_mean")), mean, "state", "float32", "merged")
        np.testing.assert_array_equal(session.run(named("bn/gamma")), gamma)
        session.run(step, {x: shards.inputs[0]})
        mean = 0.5 * mean + 0.5 * shards.inputs[0].mean(0)
        saved = saver.save(session, path + "_of_one")
    with tf.Graph().as_default(), session_of(2) as session:
        strategy = make_strategy(2)
        xs, _ = _train(strategy, tf.train.GradientDescentOptimizer(0.1))
        tf.train.Saver().restore(session, saved)
        for own in _own(session, strategy, "bn/moving_mean"):
            assert_close(own, mean, "state", "float32", "merged")
        np.testing.assert_array_equal(_own(session, strategy, "bn/gamma")[1], gamma)


def test_replicas_that_skip_a_merged_layer_end_with_an_error() -> None:
    strategy = make_strategy(2)
    xs = [tf.placeholder(tf.float32, [None, 3]) for _ in range(2)]

    def step() -> Any:
        y = tf1_bn.batch_normalization(xs[replica()], training=True, name="a")
        return y if replica() else tf1_bn.batch_normalization(y, training=True, name="b")

    with strategy.scope(), tf1_bn.cross_replica(), pytest.raises(
        RuntimeError, match="different number of .*merge_call"
    ):
        run(strategy, step)


def test_a_shared_layer_object_in_replicas() -> None:
    """Both threads are inside of the layer at once when it merges."""
    strategy, shards = make_strategy(2), make_shards([4, 7], [3])
    xs = [tf.placeholder(tf.float32, [None, 3]) for _ in range(2)]
    with strategy.scope():
        layer = tf1_bn.SyncBatchNormalization(momentum=MOMENTUM, name="bn")
        outputs = run(strategy, lambda: layer(xs[replica()], training=True))
        outputs = per_replica(strategy, outputs)
    with session_of(2) as session:
        session.run(tf.global_variables_initializer())
        found = np.concatenate(session.run(outputs, dict(zip(xs, shards.inputs))))

    assert_close(found, normalized(shards.whole), "output", "float32", "merged")


@pytest.fixture(scope="module")
def support() -> dict:
    """Each feature tried on the TensorFlow that runs, in a process of its own."""
    return graph_mode_support.try_all()


@pytest.mark.parametrize("feature", graph_mode_support.NAMES)
def test_the_guide_says_what_this_tensorflow_supports(feature: str, support: dict) -> None:
    page = os.path.join(str(ROOT), "migration_guide", "scaling_out.md")
    with open(page, encoding="utf-8") as file:
        rows = [line.strip(" |\n").split(" | ") for line in file if line.startswith("| ")]
    columns = next(row for row in rows if row[0] == "feature in graph mode")
    minor = ".".join(map(str, tf_version()[:2]))
    column = [cell.rpartition(".")[0] if cell.count(".") == 2 else cell for cell in columns]
    if minor not in column:
        pytest.skip(f"the guide has no column for TensorFlow {minor}")
    row = next(row for row in rows if row[0] == feature)

    assert row[column.index(minor)] == support[feature]
