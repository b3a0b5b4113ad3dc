"""Calls inside `tf.cond` and `tf.while_loop`, and conditionals of the other control flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conftest import V2_MODE
from tests.graph.support import distinct, tf
from tests.graph.test_update_mode import MOMENTUM, PLACES, averages
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization

# What collected updates read inside a chain of steps of control flow v2 may be older than the last.
_ORDERED = [
    place
    for place in sorted(PLACES)
    if not V2_MODE or place in ("taken branch", "case", "loop over one batch", "map")
]


@pytest.mark.filterwarnings("ignore:The update ops of:UserWarning")
@pytest.mark.parametrize("place", _ORDERED)
def test_collected_updates_run_where_they_are_and_nowhere_else(place: str, session: Any) -> None:
    x = distinct(5, 3)
    layer = BatchNormalization(momentum=MOMENTUM, name="bn")
    layer.build([None, 3])

    def norm(inputs: Any) -> Any:
        outputs = layer(inputs, training=True)
        with tf.control_dependencies(layer.updates):
            return tf.identity(outputs)

    outputs = PLACES[place].build(tf.constant(x), norm)
    session.run(tf.global_variables_initializer())

    session.run(outputs)
    mean, variance = averages(PLACES[place].batches(x.astype("float64")))
    assert_close(session.run(layer.moving_mean), mean, "state", "float32")
    assert_close(session.run(layer.moving_variance), variance, "state", "float32")
    if place not in ("outermost", "control dependencies"):
        # TensorFlow's own error: a subclass of ValueError.
        with pytest.raises(ValueError, match="not fetchable|cannot be interpreted"):
            session.run(layer.updates)


@pytest.mark.filterwarnings("ignore:The update ops of:UserWarning")
def test_updates_inside_a_loop_run_once_an_iteration(session: Any) -> None:
    inputs = tf.constant(distinct(6, 3))
    layer = BatchNormalization(momentum=0.5, name="bn")
    layer.build([None, 3])

    def body(step: Any, total: Any) -> Any:
        outputs = layer(inputs, training=True)
        with tf.control_dependencies(layer.updates):
            return step + 1, total + tf.identity(outputs)

    _, total = tf.while_loop(lambda step, _: step < 3, body, [0, tf.zeros_like(inputs)])
    slope = tf.gradients(tf.reduce_sum(total**3), layer.gamma)[0]
    session.run(tf.global_variables_initializer())

    session.run(total)
    expected = (1 - 0.5**3) * distinct(6, 3).astype("float64").mean(0)
    assert_close(session.run(layer.moving_mean), expected, "state", "float32")
    assert np.isfinite(session.run(slope)).all()


@pytest.mark.filterwarnings("ignore:The update ops of:UserWarning")
@pytest.mark.parametrize("shape", [(6, 3), (2, 1, 3, 3)])
def test_a_layer_inside_a_branch_is_built_and_runs_with_it(shape: Any, session: Any) -> None:
    inputs = tf.constant(distinct(6, 3).reshape(shape))
    taken, training = tf.placeholder(tf.bool, []), tf.placeholder(tf.bool, [])

    def branch() -> Any:
        layer = BatchNormalization(momentum=0.5, name="bn")
        outputs = layer(inputs, training=training)
        with tf.control_dependencies(layer.updates):
            return tf.identity(outputs)

    outputs = tf.cond(taken, branch, lambda: inputs)
    session.run(tf.global_variables_initializer())
    moving_mean = next(v for v in tf.global_variables() if v.op.name == "bn/moving_mean")
    mean = 0.5 * distinct(6, 3).astype("float64").mean(0)

    for feed, expected in [
        ({taken: False, training: True}, 0 * mean),
        ({taken: True, training: False}, 0 * mean),
        ({taken: True, training: True}, mean),
    ]:
        session.run(outputs, feed)
        assert_close(session.run(moving_mean), expected, "state", "float32")


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (6, 3)),
        ({}, (2, 1, 3, 3)),
        ({"renorm": True}, (6, 3)),
        ({"virtual_batch_size": 2}, (6, 3)),
    ],
)
def test_a_placeholder_phase_works_with_either_kind_of_variable(
    arguments: dict, shape: Any, use_resource: bool, session: Any
) -> None:
    x = distinct(6, 3)
    training = tf.placeholder(tf.bool, [])
    with tf.variable_scope("net", use_resource=use_resource):
        layer = BatchNormalization(momentum=0.5, **arguments)
        layer(tf.constant(x.reshape(shape)), training=training)
    session.run(tf.global_variables_initializer())

    session.run(layer.updates, {training: False})
    assert not session.run(layer.moving_mean).any()
    session.run(layer.updates, {training: True})
    found = session.run(layer.moving_mean).reshape(-1)
    assert_close(found, 0.5 * x.astype("float64").mean(0), "state", "float32")
    assert ("Resource" in type(layer.gamma).__name__) == use_resource
