"""Flags that say the opposite, and conditionals that have nothing to do with the phase."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tests.rescue.export_models import with_values
from tests.rescue.test_export_surgery import answers, data_for, operated
from tf1_bn._src.discovery.layers import find
from tf1_bn._src.rescue.surgery.flags import Setting
from tf1_bn._src.runtime.tensorflow_v1 import tf


def _variables(name: str, words: str = "gamma beta moving_mean moving_variance") -> list:
    with tf.variable_scope(name):
        return [tf.get_variable(f"{word}", [3]) for word in words.split()]


def _averages(data: Any, test: Any, name: str) -> Any:
    """By hand, as tutorials of the time had it."""
    gamma, beta = _variables(name, "gamma beta")
    with tf.variable_scope(name):
        mean, variance = tf.nn.moments(data, [0])
        averages = tf.train.ExponentialMovingAverage(0.9)
        averages.apply([mean, variance])
        mean = tf.cond(test, lambda: averages.average(mean), lambda: mean)
        variance = tf.cond(test, lambda: averages.average(variance), lambda: variance)
        return tf.nn.batch_normalization(data, mean, variance, beta, gamma, 1e-3)


def _branches(data: Any, test: Any, name: str) -> Any:
    """A conditional around the fused op."""
    held, data = _variables(name), data[:, None, None, :]

    def tested() -> Any:
        return tf.nn.fused_batch_norm(data, *held, epsilon=1e-3, is_training=False)[0]

    def trained() -> Any:
        return tf.nn.fused_batch_norm(data, *held[:2], epsilon=1e-3)[0]

    return tf.cond(test, tested, trained)[:, 0, 0, :]


@pytest.mark.parametrize("layer", [_averages, _branches])
def test_a_flag_that_says_test(layer: Callable[..., Any]) -> None:
    data = tf.placeholder(tf.float32, [None, 3], name="data")
    test = tf.placeholder(tf.bool, [], name="is_test")
    first = layer(data, test, "first")
    second = layer(tf.exp(first), test, "second")
    output = tf.identity(second, name="output")
    random = np.random.RandomState(1)
    feeds = [{data: random.normal(each, 1.0, [16, 3])} for each in (-2.0, 0.0, 5.0)]
    whole = {data: np.concatenate([feed[data] for feed in feeds]), test: True}
    with make_session() as session:
        with_values(session)
        done = tf1_bn.recalibrate(session, feeds, progress=False)
        assert [each.phase for each in done.layers] == ["switched"] * 2
        hidden = np.exp(session.run(first, whole).astype(np.float64))
        after = done.layers[1].after
        np.testing.assert_allclose(after.mean.ravel(), hidden.mean(0), rtol=1e-5)
        np.testing.assert_allclose(after.variance.ravel(), hidden.var(0), rtol=0.03)
        expected = session.run(output, {**whole, test: True})
        surgery = operated(session, [output])
        (found,) = answers(surgery, [output], {data: whole[data]})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_conditional_around_a_layer_is_no_phase() -> None:
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    use = tf.placeholder(tf.bool, [], name="use")
    normal = tf.cond(use, lambda: tf1_bn.batch_normalization(data, training=False), lambda: data)
    output = tf.identity(normal, name="output")
    with make_session() as session:
        with_values(session)
        feed = {data: data_for(data)}
        # It is still to be fed.
        assert "use" in operated(session, [output]).net.nodes
        for value in (True, False):
            expected = session.run(output, {**feed, use: value})
            done = operated(session, [output], asked=[Setting(("use", 0), value)])
            np.testing.assert_allclose(answers(done, [output], feed)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_two_layers_that_a_conditional_chooses_from_are_two(training: bool) -> None:
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    source = tf.placeholder(tf.bool, [], name="source")
    first, second = (tf1_bn.BatchNormalization(name=name) for name in "ab")
    for layer in (first, second):
        layer.build(data.shape)
    with tf1_bn.updates("in_place"):
        tf.cond(source, lambda: first(data), lambda: second(data, training=training))
    found = find(tf.get_default_graph()).layers
    assert {each.variables.gamma for each in found} == {"a/gamma", "b/gamma"}
    assert {(call.phase, call.switch) for each in found for call in each.calls} == {
        ("inference", None),
        ("training" if training else "inference", None),
    }


def test_dropout_follows_the_mode_that_the_layers_follow() -> None:
    data = tf.placeholder(tf.float32, [None, 3], name="data")
    mode = tf.placeholder_with_default(0, [], name="mode")
    net = tf.cond(tf.equal(mode, 0), lambda: tf.nn.dropout(data, rate=0.5), lambda: data)
    tf1_bn.batch_normalization(net, training=tf.equal(mode, 0), name="bn")
    rows = np.random.RandomState(0).normal(4.0, 1.0, [30, 3])
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        for feed in ({data: rows}, {data: rows, mode: 2}):
            (layer,) = tf1_bn.recalibrate(session, [feed], progress=False).layers
            np.testing.assert_allclose(layer.after.mean, rows.mean(0), rtol=1e-5)
