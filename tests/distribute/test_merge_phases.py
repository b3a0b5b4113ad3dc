"""Merged calls whose phase is decided at run time: those in training are the batch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.distribute.replica_support import (
    EPSILON,
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
from tests.tolerances import assert_close

MOMENTUM = 0.5
SHARDS = make_shards([4, 2], [3])
PHASES = [(True, True), (True, False), (False, True), (False, False)]


def _layer(inputs: Any, training: Any, **arguments: Any) -> Any:
    return tf1_bn.batch_normalization(
        inputs, training=training, momentum=MOMENTUM, epsilon=EPSILON, name="bn", **arguments
    )


class Fed:
    """Placeholders of two shards, of the weights of their outputs and of their phases."""

    def __init__(self, sizes: tuple = (None, None)) -> None:
        self.xs = [tf.placeholder(tf.float64, [size, 3]) for size in sizes]
        self.gs = [tf.placeholder(tf.float64, [size, 3]) for size in sizes]
        self.phases = [tf.placeholder(tf.bool, []) for _ in sizes]

    def values(self, phases: tuple) -> dict:
        names = [*self.xs, *self.gs, *self.phases]
        return dict(zip(names, [*SHARDS.inputs, *SHARDS.weights, *phases]))


def _in_towers(mode: str, sizes: tuple) -> dict:
    fed = Fed(sizes)
    with tf1_bn.cross_replica(), tf1_bn.updates(mode):
        ys = tf1_bn.run_towers(_layer, list(zip(fed.xs, fed.phases)))
    loss = tf.add_n([tf.reduce_sum(y * g) for y, g in zip(ys, fed.gs)])
    gradients = tf.gradients(loss, fed.xs)
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss)
    statistics = [named("bn/moving_mean"), named("bn/moving_variance")]
    with tf.Session() as session:
        initialize, found = tf.global_variables_initializer(), {}
        for phases in PHASES:
            session.run(initialize)
            outputs, inputs, _ = session.run([ys, gradients, step], fed.values(phases))
            copies = [session.run(statistics)]
            found[phases] = {"outputs": outputs, "inputs": inputs, "copies": copies}
        return found


def _in_replicas(mode: str, sizes: tuple) -> dict:
    fed, strategy = Fed(sizes), make_strategy(2)

    def step() -> Any:
        i = replica()
        y = _layer(fed.xs[i], fed.phases[i])
        loss = tf.reduce_sum(y * fed.gs[i])
        with tf.control_dependencies(tf1_bn.update_ops_for(loss)):
            return tf.identity(y), tf.gradients(loss, fed.xs[i])[0]

    with strategy.scope(), tf1_bn.cross_replica(), tf1_bn.updates(mode):
        ys, gradients = (per_replica(strategy, result) for result in run(strategy, step))
    names = ("bn/moving_mean", "bn/moving_variance")
    statistics = [per_replica(strategy, named(name)) for name in names]
    with session_of(2) as session:
        initialize, found = tf.global_variables_initializer(), {}
        for phases in PHASES:
            session.run(initialize)
            outputs, inputs = session.run([ys, gradients], fed.values(phases))
            copies = list(zip(*session.run(statistics)))
            found[phases] = {"outputs": outputs, "inputs": inputs, "copies": copies}
        return found


WAYS = {"towers": _in_towers, "replicas": _in_replicas}


@functools.lru_cache(maxsize=None)
def _found(way: str, mode: str, sizes: tuple) -> dict:
    """What each pair of phases gives, from the initial state, in one graph."""
    with tf.Graph().as_default():
        return WAYS[way](mode, sizes)


@pytest.mark.parametrize("sizes", [(None, None), (4, 2)], ids=["open", "static"])
@pytest.mark.parametrize("mode", ["collect", "in_place"])
@pytest.mark.parametrize("phases", PHASES)
@pytest.mark.parametrize("way", WAYS)
def test_those_in_training_are_one_batch(way: str, phases: tuple, mode: str, sizes: tuple) -> None:
    """The averages move towards it if there is one; the others are in inference and no part."""
    found = _found(way, mode, sizes)[phases]

    trained = [i for i in range(2) if phases[i]]
    inference = 1.0 / np.sqrt(1.0 + EPSILON)
    outputs = [x * inference for x in SHARDS.inputs]
    inputs = [g * inference for g in SHARDS.weights]
    mean, variance = np.zeros(3), np.ones(3)
    if trained:
        parts = Shards([SHARDS.inputs[i] for i in trained], [SHARDS.weights[i] for i in trained])
        batch = closed_form(parts, 1.0, 0.0, MOMENTUM)
        ends = np.cumsum([len(x) for x in parts.inputs])[:-1]
        for key, values in (("outputs", outputs), ("inputs", inputs)):
            for i, part in zip(trained, np.split(batch[key], ends)):
                values[i] = part
        mean, variance = batch["moving_mean"], batch["moving_variance"]
    # In place, a tower in inference may read what the first has moved already, as the guide says.
    late = way == "towers" and mode == "in_place" and phases == (True, False)
    for i in trained if late else range(2):
        assert_close(found["outputs"][i], outputs[i], "output", "float64", "merged")
        assert_close(found["inputs"][i], inputs[i], "gradient", "float64", "merged")
    assert len(found["copies"]) == (2 if way == "replicas" else 1)
    for own_mean, own_variance in found["copies"]:
        assert_close(own_mean, mean, "state", "float64", "merged")
        assert_close(own_variance, variance, "state", "float64", "merged")


@pytest.mark.parametrize("phases", PHASES)
def test_averages_of_renorm_move_if_any_tower_trains(phases: tuple, session: Any) -> None:
    fed = Fed()
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(
            lambda x, phase: _layer(x, phase, renorm=True, renorm_momentum=0.75),
            list(zip(fed.xs, fed.phases)),
        )
    loss = tf.add_n([tf.reduce_sum(y) for y in ys])
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss)
    session.run(tf.global_variables_initializer())
    session.run(step, fed.values(phases))

    batch = [x for x, trains in zip(SHARDS.inputs, phases) if trains]
    mean, stddev = np.zeros(3), np.ones(3)
    if batch:
        whole = np.concatenate(batch)
        mean, stddev = 0.25 * whole.mean(0), 0.75 + 0.25 * np.sqrt(whole.var(0) + EPSILON)
    assert_close(session.run(named("bn/renorm_mean")), mean, "state", "float64", "merged")
    assert_close(session.run(named("bn/renorm_stddev")), stddev, "state", "float64", "merged")


def _sources(operation: Any) -> set:
    """All that must have run before."""
    seen, pending = set(), [operation]
    while pending:
        found = pending.pop()
        if found not in seen:
            seen.add(found)
            pending += [tensor.op for tensor in found.inputs] + list(found.control_inputs)
    return seen


@pytest.mark.parametrize("runs", ["minimize", "collection", "in_place"])
@pytest.mark.parametrize("renorm", [True, False])
def test_which_towers_a_merged_update_waits_for(renorm: bool, runs: str) -> None:
    """What the guide says of renorm and of phases that are tensors."""
    fed = Fed()
    with tf1_bn.cross_replica(), tf1_bn.updates("in_place" if runs == "in_place" else "collect"):
        pairs = [(x, True) for x in fed.xs] if renorm else list(zip(fed.xs, fed.phases))
        inner: list = []

        def tower(x: Any, phase: Any) -> Any:
            inner.append(_layer(x, phase, renorm=renorm))
            return inner[-1]

        ys = tf1_bn.run_towers(tower, pairs)
    ends = [y.op for y in ys]
    if runs == "minimize":
        loss = tf.add_n([tf.reduce_sum(y) for y in ys])
        ends = [tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss)]
    elif runs == "collection":
        ends = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    needed = set().union(*map(_sources, ends))
    moves = [op for op in needed if op.type.startswith("Assign") and "gamma" not in op.name]

    assert len(moves) == (5 if renorm else 2)
    # The last op of each tower's normalization; in place an identity comes after it.
    outputs = [y.op.inputs[0].op if runs == "in_place" else y.op for y in inner]
    waits = [all(output in _sources(move) for move in moves) for output in outputs]
    # That of renorm in a collection waits for r and d, which the first tower's outputs use.
    assert waits == [runs != "collection" or not renorm, runs == "minimize"]


def test_a_phase_may_be_a_bool_in_one_tower_and_a_tensor_in_another(session: Any) -> None:
    fed = Fed((4, 2))
    with tf1_bn.cross_replica():
        tf1_bn.run_towers(_layer, list(zip(fed.xs, (fed.phases[0], True))))
    session.run(tf.global_variables_initializer())
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS), fed.values((False, True)))

    expected = (1.0 - MOMENTUM) * SHARDS.inputs[1].mean(0)
    assert_close(session.run(named("bn/moving_mean")), expected, "state", "float64", "merged")


@pytest.mark.parametrize("trains", [True, False])
def test_a_merge_of_ones_own_moves_in_this_phase_alone(trains: bool, session: Any) -> None:
    """It may add what was seen elsewhere, which an evaluation here is not to take over."""
    x, phase = tf.placeholder(tf.float64, [None, 3]), tf.placeholder(tf.bool, [])
    counts = []

    def merge(own: Any) -> Any:
        counts.append(own.count)
        elsewhere = tf1_bn.BatchStatistics(
            tf.constant(4.0, tf.float64), tf.ones([3], tf.float64), tf.zeros([3], tf.float64)
        )
        return tf1_bn.merge_statistics([own, elsewhere])

    with tf1_bn.cross_replica(merge):
        _layer(x, phase)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    session.run(tf.global_variables_initializer())
    feed = {x: SHARDS.inputs[0], phase: trains}
    found, _ = session.run([counts, updates], feed)

    assert found == [4.0 if trains else 0.0]
    mean = 0.5 * (SHARDS.inputs[0].mean(0) + 1.0) if trains else np.zeros(3)
    moved = session.run(named("bn/moving_mean"))
    assert_close(moved, (1.0 - MOMENTUM) * mean, "state", "float64", "merged")


@pytest.mark.parametrize("inside", [True, False])
def test_a_merged_call_is_not_built_again_alone(inside: bool) -> None:
    """tf.recompute_grad builds the layer anew for the gradient, where nothing would be merged."""
    with tf.variable_scope("s", use_resource=True):
        layer = tf1_bn.BatchNormalization(name="bn")
        layer.build([None, 3])

    @tf.recompute_grad
    def again(x: Any) -> Any:
        return layer(x, training=True)

    xs = [tf.constant(np.arange(12.0).reshape(4, 3) ** (k + 1), tf.float32) for k in range(2)]
    with pytest.raises(ValueError, match="A merged call of the layer 's/bn' is built again"):
        with tf1_bn.cross_replica():
            loss = tf.add_n([tf.reduce_sum(y**3) for y in tf1_bn.run_towers(again, xs)])
            if inside:
                tf.gradients(loss, xs)
        tf.gradients(loss, xs)
    # Elsewhere, and in inference, the layer serves as ever.
    layer(xs[0] + 1.0, training=True)
    layer(xs[0], training=False)
