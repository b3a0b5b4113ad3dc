"""An empty batch gives an empty output, finite gradients, and leaves the statistics bit for bit.

TF1 writes NaN into moving_mean and moving_variance here, for good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.forced_kernel import forced
from tests.graph.support import distinct, set_distinct_state, tf, update_ops
from tf1_bn import BatchNormalization, batch_normalization

LAYERS = [
    ({}, (3,)),
    ({"fused": False}, (2, 3, 5)),
    ({"fused": True}, (2, 3, 5)),
    ({"axis": [1, 3]}, (2, 3, 5)),
    ({"renorm": True, "renorm_clipping": {"rmax": 2.0, "dmax": 1.0}}, (3,)),
    ({"virtual_batch_size": 4}, (3,)),
    ({"virtual_batch_size": 4, "renorm": True}, (2, 3, 5)),
    ({"adjustment": lambda shape: (tf.fill([1, shape[-1]], 2.0), 1.0)}, (3,)),
]


@pytest.mark.parametrize("phase", ["constant", "placeholder"])
@pytest.mark.parametrize("batch", [None, 0], ids=["unknown", "zero"])
@pytest.mark.parametrize(("arguments", "tail"), LAYERS)
def test_an_empty_batch_changes_nothing(
    arguments: dict, tail: Any, batch: Any, phase: str, session: Any
) -> None:
    inputs = tf.placeholder(tf.float32, (batch,) + tail)
    flag = tf.placeholder(tf.bool, [])
    training = True if phase == "constant" else flag
    outputs = batch_normalization(inputs, training=training, **arguments)
    gradients = tf.gradients(tf.reduce_sum(outputs * 3.0), tf.trainable_variables())
    state = set_distinct_state(session)

    empty = {inputs: np.zeros((0,) + tail, "float32"), flag: True}
    y, slopes, _ = session.run([outputs, gradients, update_ops()], empty)

    assert y.shape == (0,) + tail
    assert [slope.tolist() for slope in slopes] == [np.zeros_like(s).tolist() for s in slopes]
    after = session.run({variable.op.name: variable for variable in tf.global_variables()})
    assert after.keys() == state.keys()
    for name, value in after.items():
        np.testing.assert_array_equal(value, state[name])


# Each composed kernel, on the input as it is or, where forced, on rows of columns.
COMPOSED = [
    ("", {}, (3,)),
    ("", {"fused": False}, (4, 4, 50)),
    ("", {"axis": [1, 3]}, (2, 3, 5)),
    ("", {"axis": 1, "dtype": "float64"}, (7, 10)),
    ("", {"virtual_batch_size": 4}, (3,)),
    ("", {"adjustment": lambda shape: (tf.fill([shape[0], shape[-1]], 2.0), 1.0)}, (3,)),
    ("columns", {"fused": False}, (2, 3, 5)),
    ("columns", {"axis": 1}, (7, 10)),
    ("columns", {"axis": [1, 3], "renorm": True}, (2, 3, 5)),
    # They stand in for TF1's fused op.
    ("columns", {}, (4, 4, 50)),
]
# Each place of the fused op.
BY_OP = [
    ("fused", {}, (4, 4, 48)),
    ("fused", {"axis": 1}, (48, 4, 4)),
    ("fused", {"fused": True}, (3,)),
    ("fused", {"fused": True, "axis": 1}, (7, 10)),
]


def derivatives(session: Any, kernel: str, arguments: dict, shape: tuple, phase: str) -> dict:
    """First and second derivatives on an empty batch, by "gamma", "x gamma" and so on."""
    inputs = tf.placeholder(arguments.get("dtype", tf.float32), shape)
    flag = tf.placeholder(tf.bool, [])
    layer = BatchNormalization(**arguments)
    with forced(kernel):
        outputs = layer(inputs, training=True if phase == "constant" else flag)
    sources = {"gamma": layer.gamma, "beta": layer.beta, "x": inputs}

    def by_each(values: Any) -> dict:
        return dict(zip(sources, tf.gradients(tf.reduce_sum(tf.sin(values)), [*sources.values()])))

    found = by_each(outputs)
    for name, first in list(found.items()):
        seconds = by_each(first).items()
        found.update({f"{name} {by}": value for by, value in seconds if value is not None})
    session.run(tf.global_variables_initializer())
    return dict(session.run(found, {inputs: np.zeros([0, *shape[1:]]), flag: True}))


# Of a size of 0 that it knows, TF 2.21's graph optimizer dies in a fed phase with ghost batches.
@pytest.mark.parametrize(
    ("batch", "phase"), [(None, "constant"), (0, "constant"), (None, "placeholder")]
)
@pytest.mark.parametrize(("kernel", "arguments", "tail"), COMPOSED)
def test_derivatives_of_an_empty_batch_are_zero(
    kernel: str, arguments: dict, tail: Any, batch: Any, phase: str, session: Any
) -> None:
    found = derivatives(session, kernel, arguments, (batch, *tail), phase)
    # Gradients of gradients of the inputs are what a gradient penalty asks for.
    assert {"gamma gamma", "gamma x", "beta gamma", "x gamma", "x x"} <= set(found)
    for by, value in found.items():
        np.testing.assert_array_equal(value, np.zeros_like(value), by)
    assert found["x gamma"].size > 0


@pytest.mark.parametrize(("kernel", "arguments", "tail"), BY_OP)
def test_only_the_fused_ops_own_second_derivative_by_gamma_is_nan(
    kernel: str, arguments: dict, tail: Any, session: Any
) -> None:
    found = derivatives(session, kernel, arguments, (None, *tail), "constant")
    of_op = {by for by in found if by.endswith(" gamma")}
    assert {by for by, value in found.items() if np.isnan(value).any()} == of_op

    images = tf.placeholder(tf.float32, [None, 4, 4, 2])
    gamma = tf.ones([2])
    outputs = tf.nn.fused_batch_norm(images, gamma, tf.zeros([2]))[0]
    (slope,) = tf.gradients(tf.reduce_sum(tf.sin(outputs)), gamma)
    (second,) = tf.gradients(slope, gamma)
    slope, second = session.run([slope, second], {images: np.zeros([0, 4, 4, 2])})
    assert slope.tolist() == [0.0, 0.0]
    assert np.isnan(second).all(), "mended in TensorFlow: the guide can say so"


@pytest.mark.parametrize(("kernel", "arguments", "tail"), BY_OP)
def test_a_fed_phase_keeps_it_from_an_empty_batch(
    kernel: str, arguments: dict, tail: Any, session: Any
) -> None:
    found = derivatives(session, kernel, arguments, (None, *tail), "placeholder")
    for by, value in found.items():
        np.testing.assert_array_equal(value, np.zeros_like(value), by)


@pytest.mark.parametrize(("arguments", "tail"), LAYERS)
def test_the_batch_after_an_empty_one_updates_as_ever(
    arguments: dict, tail: Any, session: Any
) -> None:
    inputs = tf.placeholder(tf.float32, (None,) + tail)
    batch_normalization(inputs, training=True, name="bn", momentum=0.75, **arguments)
    state = set_distinct_state(session)

    session.run(update_ops(), {inputs: np.zeros((0,) + tail, "float32")})
    x = distinct(*((8,) + tail))
    session.run(update_ops(), {inputs: x})

    moving_mean = next(v for v in tf.global_variables() if v.op.name == "bn/moving_mean")
    axes = (0, 2) if arguments.get("axis") else tuple(range(x.ndim - 1))
    mean = x.mean(axes).reshape(moving_mean.shape.as_list())
    expected = state["bn/moving_mean"] * 0.75 + mean * 0.25
    np.testing.assert_allclose(session.run(moving_mean), expected, rtol=1e-5)
