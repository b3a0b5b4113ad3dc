"""An empty batch gives an empty output, finite gradients, and leaves the statistics bit for bit.

TF1 writes NaN into moving_mean and moving_variance here, for good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.graph.support import distinct, set_distinct_state, tf, update_ops
from tf1_bn import batch_normalization

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
    for variable in tf.global_variables():
        np.testing.assert_array_equal(session.run(variable), state[variable.op.name])


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
