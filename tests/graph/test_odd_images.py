"""Images whose channels fill no vectors: other ops stand in for TF 1.15's, with its numbers.

That is: the sample variance in `moving_variance`, epsilon of at least 1.001e-5, the output's name.
"""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np
import pytest

from tests import reference
from tests.conftest import tensorflow
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization
from tf1_bn._src.plan.ways import Composed, Rows
from tf1_bn._src.runtime.tensorflow_v1 import as_on, machine

tf = tensorflow()
# Beside a variance of 9e-6 an epsilon that is raised to 1.001e-5 shows.
EPSILON = 1e-6
# Errors are absolute below 1, so variances are compared in units of their size.
VARIANCE = 9e-6
# The shape, the channel axis, and the columns that elementary ops see; 0 for the input as it is.
IMAGES = {
    "few": ((9, 4, 6, 50), 3, 0),
    "columns": ((32, 8, 7, 50), 3, 2800),
    "channels first": ((17, 30, 8, 9), 1, 2160),
    "columns in inference": ((32, 16, 16, 50), 3, 3200),
}


@pytest.fixture(autouse=True)
def _machine_with_vectors() -> Iterator[None]:
    with as_on(machine()._replace(quick=True, vectors=True)):
        yield


def _expected(x: Any, weights: Any, axis: int, gamma: Any, beta: Any) -> list:
    """Outputs, gradients of sum(outputs * weights), and what the averages are then."""
    norm = reference.Norm((axis,), kept=0.0, epsilon=EPSILON, fused=True)
    state = reference.new_state(gamma, beta)
    step = reference.train(norm, x, state)
    slopes = reference.slopes(norm, x, state, weights, training=True)
    state = [step.state["moving_mean"], step.state["moving_variance"] / VARIANCE]
    return [step.outputs, *slopes, *state]


def _data(shape: Any, axis: int) -> tuple:
    rng = np.random.RandomState(3)
    x = (0.01 + np.sqrt(VARIANCE) * rng.standard_normal(shape)).astype("float32")
    gamma, beta = 1.0 + rng.rand(shape[axis]), rng.rand(shape[axis])
    return x, rng.standard_normal(shape).astype("float32"), gamma, beta


@pytest.mark.parametrize("phase", ["constant", "placeholder"])
@pytest.mark.parametrize("batch", ["known", "open"])
@pytest.mark.parametrize("name", sorted(IMAGES))
def test_training_keeps_the_numbers_of_tf1s_fused_op(
    name: str, batch: str, phase: str, session: Any
) -> None:
    shape, axis, columns = IMAGES[name]
    x, weights, gamma, beta = _data(shape, axis)
    inputs = tf.placeholder(tf.float32, [None if batch == "open" else shape[0], *shape[1:]])
    training = tf.placeholder_with_default(True, []) if phase == "placeholder" else True
    # An average that starts at 0 loses no digits of a small variance.
    norm = BatchNormalization(
        axis=axis,
        momentum=0.0,
        epsilon=EPSILON,
        moving_variance_initializer=tf.zeros_initializer(),
    )
    outputs = norm(inputs, training=training)
    gradients = tf.gradients(outputs, [inputs, norm.gamma, norm.beta], grad_ys=weights)
    session.run(tf.global_variables_initializer())
    norm.gamma.load(gamma, session)
    norm.beta.load(beta, session)

    way = norm.kernel.in_training
    assert norm.fused and isinstance(way, Composed)
    if batch == "known":
        assert (way.columns.width if way.columns else 0) == columns
    found = session.run([outputs, *gradients], {inputs: x})
    session.run(norm.updates, {inputs: x})
    found += session.run([norm.moving_mean, norm.moving_variance / VARIANCE])
    names = ["output", "gradient", "gradient", "gradient", "state", "state"]
    for kind, value, want in zip(names, found, _expected(x, weights, axis, gamma, beta)):
        assert_close(value, want, kind, "float32", "large")


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_inference_keeps_the_numbers_of_tf1s_fused_op(name: str, session: Any) -> None:
    shape, axis, _ = IMAGES[name]
    x, _, gamma, beta = _data(shape, axis)
    norm = BatchNormalization(axis=axis, epsilon=EPSILON)
    outputs = norm(tf.constant(x))
    session.run(tf.global_variables_initializer())
    mean, variance = 0.01 * gamma, 1e-5 * (1.0 + beta)
    for variable, value in zip(norm.variables, (gamma, beta, mean, variance)):
        variable.load(value, session)

    state = reference.new_state(gamma, beta)
    state.update(moving_mean=mean, moving_variance=variance)
    asked = reference.Norm((axis,), epsilon=EPSILON, fused=True)
    expected = reference.infer(asked, x, state).outputs
    assert isinstance(norm.kernel.in_inference, Rows) == (name == "columns in inference")
    assert_close(session.run(outputs), expected, "output", "float32", "large")


@pytest.mark.parametrize("training", [True, False])
def test_the_names_are_those_of_tf1(training: bool) -> None:
    x = tf.zeros(IMAGES["columns"][0])
    with tf.variable_scope("net"):
        outputs = [BatchNormalization(name="bn")(x, training=training)]
        outputs.append(BatchNormalization(name="bn_1", fused=False)(x, training=training))

    assert [each.op.name for each in outputs] == [
        "net/bn/FusedBatchNormV3",
        "net/bn_1/batchnorm/add_1",
    ]


def test_an_empty_batch_changes_nothing(session: Any) -> None:
    inputs = tf.placeholder(tf.float32, [None, 8, 7, 50])
    norm = BatchNormalization()
    outputs = norm(inputs, training=True)
    gradients = tf.gradients(outputs, [norm.gamma, norm.beta])
    session.run(tf.global_variables_initializer())
    feed = {inputs: np.zeros([0, 8, 7, 50])}

    assert isinstance(norm.kernel.in_training, Composed)
    assert not np.any(session.run(gradients, feed))
    session.run(norm.updates, feed)
    assert not session.run(norm.moving_mean).any()
    assert (session.run(norm.moving_variance) == 1.0).all()


@pytest.mark.parametrize("batch", [1, None])
def test_a_single_value_has_no_variance(batch: Any, session: Any) -> None:
    inputs = tf.placeholder(tf.float32, [batch, 1, 1, 8002])
    norm = BatchNormalization(momentum=0.0)
    norm(inputs, training=True)
    session.run(tf.global_variables_initializer())

    assert isinstance(norm.kernel.in_training, Composed)
    session.run(norm.updates, {inputs: np.full([1, 1, 1, 8002], 3.0)})
    assert (session.run(norm.moving_mean) == 3.0).all()
    assert not session.run(norm.moving_variance).any()
