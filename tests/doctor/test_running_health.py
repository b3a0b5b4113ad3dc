"""Health: ages, drifts and ratios against closed forms and NumPy."""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tests.doctor.test_zoo import LAYERS
from tf1_bn._src.runtime.tensorflow_v1 import tf

RANDOM = np.random.RandomState(5)
DATA = (RANDOM.normal(size=(64, 3)) * [1.0, 4.0, 0.2] + [5.0, -2.0, 0.1]).astype(np.float32)
MEAN, VARIANCE = DATA.astype(np.float64).mean(0), DATA.astype(np.float64).var(0)
MOMENTUM = 0.9


@pytest.fixture(autouse=True)
def graph() -> Iterator[Any]:
    with tf.Graph().as_default() as graph:
        yield graph


def built(layer: Any = tf1_bn.batch_normalization, name: str = "bn") -> tuple[Any, Any]:
    x, phase = tf.placeholder(tf.float32, [None, 3]), tf.placeholder_with_default(False, [])
    layer(x, training=phase, momentum=MOMENTUM, name=name)
    return x, phase


@pytest.fixture
def session(graph: Any) -> Iterator[Any]:
    with make_session(graph) as session:
        yield session


def moved(session: Any, x: Any, phase: Any, times: int) -> None:
    session.run(tf.global_variables_initializer())
    for _ in range(times):
        session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS), {x: DATA, phase: True})


@pytest.mark.parametrize(
    "library", [pytest.param(n, marks=[] if n == "tf1_bn" else [pytest.mark.slow]) for n in LAYERS]
)
def test_age_drift_and_ratio_of_five_updates(library: str, session: Any) -> None:
    x, phase = built(LAYERS[library])
    moved(session, x, phase, 5)
    (layer,) = tf1_bn.health(session, {x: DATA, phase: True})
    left = MOMENTUM**5
    mean, variance = MEAN * (1 - left), VARIANCE * (1 - left) + left
    if library == "tf1_bn, in renorm":
        # The deviation is averaged.
        variance = (np.sqrt(VARIANCE + 1e-3) * (1 - left) + left) ** 2
    assert layer.layer == "bn" and layer.known_by == "estimate by the batch"
    assert layer.momentum == MOMENTUM
    # Some kernels average the unbiased variance, 64 / 63 of it.
    assert layer.age == pytest.approx(-5 * np.log(MOMENTUM), rel=0.02)
    assert layer.mean_drift == pytest.approx(
        np.sqrt(np.mean((MEAN - mean) ** 2 / variance)), rel=0.02
    )
    ratio = np.exp(np.mean(np.log(VARIANCE / variance)))
    assert layer.variance_ratio == pytest.approx(ratio, rel=0.02)
    np.testing.assert_allclose(layer.statistics.mean, mean, rtol=1e-4)
    assert "% of the averages is the 0 and 1" in layer.suggestion


@pytest.mark.parametrize(
    ("times", "updates", "step", "age", "known_by"),
    [
        (0, None, None, 0.0, "still 0 and 1"),
        (3, None, None, None, ""),
        (3, 3, None, 0.3161, "updates given"),
        (3, None, 20, 2.1072, "at most, by global_step"),
        (3, 0, 20, 0.0, "updates given"),
    ],
)
def test_what_is_known_without_a_batch(
    times: int, updates: Any, step: Any, age: Any, known_by: str, session: Any
) -> None:
    x, phase = built()
    if step is not None:
        counter = tf.train.create_global_step()
    moved(session, x, phase, times)
    if step is not None:
        counter.load(step, session)
    (layer,) = tf1_bn.health(session, updates=updates)
    assert layer.age == (None if age is None else pytest.approx(age, abs=1e-4))
    assert layer.known_by == known_by
    assert layer.mean_drift is None and layer.variance_ratio is None


def test_old_averages_of_the_same_data_are_well_and_of_others_not(session: Any) -> None:
    x, phase = built()
    moved(session, x, phase, 60)
    (layer,) = tf1_bn.health(session, {x: DATA, phase: True})
    assert layer.suggestion == "" and layer.age == pytest.approx(-np.log(0.05))
    assert layer.mean_drift == pytest.approx(0.0, abs=0.02)
    assert layer.variance_ratio == pytest.approx(1.0, abs=0.02)
    (layer,) = tf1_bn.health(session, {x: DATA * 3.0, phase: True}, updates=60)
    assert layer.variance_ratio == pytest.approx(9.0, rel=0.02)
    assert layer.suggestion.startswith("the averages are not those of this batch")


def test_statistics_that_are_not_finite(session: Any) -> None:
    x, phase = built()
    moved(session, x, phase, 1)
    for variable in tf.global_variables():
        if "moving_variance" in variable.name:
            variable.load(np.float32([1.0, np.nan, 1.0]), session)
    health = tf1_bn.health(session, {x: DATA, phase: True})
    assert health[0].suggestion.startswith("not finite") and health[0].mean_drift is None
    assert "nan" not in str(health)
    tags = {value.tag for value in health.summary().value}
    assert "bn/moving_variance" in tags and "bn/mean_drift" not in tags


def test_it_changes_nothing_and_takes_a_graph_that_is_final(session: Any) -> None:
    x, phase = built()
    moved(session, x, phase, 2)
    tf.get_default_graph().finalize()
    before = session.run(tf.global_variables())
    version = session.graph.version
    tf1_bn.health(session, {x: DATA, phase: True})
    assert session.graph.version == version
    for old, new in zip(before, session.run(tf.global_variables())):
        np.testing.assert_array_equal(old, new)


def test_updates_in_place_are_not_run(session: Any) -> None:
    with tf1_bn.updates("in_place"):
        x = tf.placeholder(tf.float32, [None, 3])
        y = tf1_bn.batch_normalization(x, training=True, name="first")
        tf1_bn.batch_normalization(y, training=True, name="second")
    session.run(tf.global_variables_initializer())
    first, second = tf1_bn.health(session, {x: DATA})
    assert first.known_by == second.known_by == "still 0 and 1"
    assert first.mean_drift == pytest.approx(np.sqrt(np.mean(MEAN**2)), rel=1e-4)
    assert second.mean_drift is None
    (after, _) = tf1_bn.health(session)
    np.testing.assert_array_equal(after.statistics.mean, 0.0)


def test_a_batch_that_is_not_fed_is_left_out(session: Any) -> None:
    x, phase = built()
    moved(session, x, phase, 2)
    (layer,) = tf1_bn.health(session, {phase: True})
    assert (layer.mean_drift, layer.age) == (None, None)


def test_it_prints_in_80_columns(session: Any) -> None:
    for number in range(7):
        with tf.variable_scope("a_scope_with_a_long_name_of_its_own/block"):
            x, phase = built(name=f"batch_normalization_{number}")
    moved(session, x, phase, 0)
    text = str(tf1_bn.health(session))
    assert max(map(len, text.splitlines())) <= 80
    assert "and 3 more: never moved" in " ".join(text.split())
    with tf.Graph().as_default() as empty, tf.Session(graph=empty) as other:
        assert str(tf1_bn.health(other)) == "no batch normalization with moving statistics"


def test_the_table(session: Any) -> None:
    x, phase = built()
    moved(session, x, phase, 5)
    assert str(tf1_bn.health(session, updates=5)).splitlines()[:2] == [
        "layer  momentum  age   known by       mean off by  variance",
        "bn     0.9       0.53  updates given  -            -",
    ]


def test_the_summary(session: Any, tmp_path: Any) -> None:
    x, phase = built()
    moved(session, x, phase, 5)
    health = tf1_bn.health(session, {x: DATA, phase: True})
    with tf.summary.FileWriter(str(tmp_path)) as writer:
        writer.add_summary(health.summary(), 5)
    (path,) = tmp_path.iterdir()
    (event,) = (e for e in tf.train.summary_iterator(str(path)) if e.HasField("summary"))
    values = {value.tag: value for value in event.summary.value}
    assert event.step == 5
    assert values["bn/age"].simple_value == pytest.approx(health[0].age)
    assert values["bn/variance_ratio"].simple_value == pytest.approx(health[0].variance_ratio)
    histogram, mean = values["bn/moving_mean"].histo, health[0].statistics.mean
    assert (histogram.num, histogram.min, histogram.max) == (3, mean.min(), mean.max())
    assert histogram.sum == pytest.approx(mean.sum()) and sum(histogram.bucket) == 3
    assert histogram.sum_squares == pytest.approx((mean**2).sum())
    # Where the largest lies is the last bucket.
    assert list(histogram.bucket)[-1] == 1 and histogram.bucket_limit[-1] >= mean.max()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"session": tf}, TypeError),
        ({"session": tf.Session}, TypeError),
        ({"updates": 1.5}, TypeError),
        ({"updates": True}, TypeError),
        ({"updates": -1}, ValueError),
        ({"feed_dict": 5}, TypeError),
        ({"feed_dict": [("x:0", DATA)]}, TypeError),
        ({"feed_dict": {"nothing:0": DATA}}, TypeError),
        ({"feed_dict": {"x": DATA}}, TypeError),
        ({"feed_dict": {None: DATA}}, TypeError),
        ({"feed_dict": {tf.Graph(): DATA}}, TypeError),
        ({"feed_dict": {"x:0": DATA[:, :2]}}, ValueError),
        ({"feed_dict": {"x:0": "four"}}, ValueError),
        ({"feed_dict": {"x:0": [[1, 2, 3], [4]]}}, ValueError),
    ],
)
def test_wrong_arguments(arguments: Any, error: Any, session: Any) -> None:
    x, phase = tf.placeholder(tf.float32, [None, 3], "x"), tf.placeholder_with_default(False, [])
    tf1_bn.batch_normalization(x, training=phase)
    session.run(tf.global_variables_initializer())
    (argument,) = arguments
    with pytest.raises(error, match=f"`{argument}` must .*got "):
        tf1_bn.health(**{"session": session, **arguments})


def test_a_value_that_does_not_fit_is_told_with_its_tensor(session: Any) -> None:
    x, phase = built()
    session.run(tf.global_variables_initializer())
    got = r"got the shape \(64, 2\) for .*, of shape \(None, 3\)\): Cannot feed value of shape"
    with pytest.raises(ValueError, match=got):
        tf1_bn.health(session, {x: DATA[:, :2], phase: True})
    with tf.Graph().as_default():
        stranger = tf.placeholder(tf.float32, [])
    with pytest.raises(
        TypeError, match="Cannot interpret feed_dict key as Tensor: Tensor .* not an"
    ):
        tf1_bn.health(session, {stranger: 1.0})


def test_an_error_of_the_network_says_what_was_fed(session: Any) -> None:
    x, size = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.int32, [2])
    y = tf.ensure_shape(tf.reshape(x, size), [None, 3])
    tf1_bn.batch_normalization(y, training=True)
    session.run(tf.global_variables_initializer())
    with pytest.raises(tf.errors.InvalidArgumentError, match="`feed_dict` must be what one run"):
        tf1_bn.health(session, {x: DATA, size: [2, 3]})


def test_a_session_that_cannot_be_read(graph: Any) -> None:
    x, _ = built()
    session = make_session(graph)
    for feeds in (None, {x: DATA}):
        with pytest.raises(tf.errors.FailedPreconditionError, match="must have its variables"):
            tf1_bn.health(session, feeds)
    session.close()
    with pytest.raises(RuntimeError, match="`session` must be open .*: Attempted to use a closed"):
        tf1_bn.health(session)
    monitored = tf.train.MonitoredSession()
    monitored.close()
    with pytest.raises(RuntimeError, match="`session` must be open"):
        tf1_bn.health(monitored)


def test_a_sparse_tensor_is_fed_as_a_session_takes_it(session: Any) -> None:
    x = tf.sparse_placeholder(tf.float32, [4, 3])
    dense = tf.ensure_shape(tf.sparse.to_dense(x), [4, 3])
    tf1_bn.batch_normalization(dense, training=True, name="bn")
    session.run(tf.global_variables_initializer())
    value = tf.SparseTensorValue([[0, 0], [1, 2]], [4.0, 8.0], [4, 3])
    (layer,) = tf1_bn.health(session, {x: value})
    # The means are 1, 0 and 2.
    assert layer.mean_drift == pytest.approx(np.sqrt(5 / 3))


def test_it_says_what_has_to_be_fed_as_well(session: Any) -> None:
    noise = tf.placeholder(tf.float32, [None, 3], "noise")
    with tf.variable_scope("other"):
        tf1_bn.batch_normalization(noise, training=True, name="bn")
    x, phase = built()
    session.run(tf.global_variables_initializer())
    other, own = tf1_bn.health(session, {x: DATA, phase: True}, updates=np.int64(3))
    assert other.suggestion.endswith(
        "; feed 'noise' as well, to compare the averages with the batch"
    )
    assert "feed" not in own.suggestion and own.mean_drift is not None
