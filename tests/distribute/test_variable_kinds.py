"""The variables that a strategy makes, moved one step beside the original, or by closed form."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

import tf1_bn
from tests.conftest import tf_version
from tests.distribute.replica_support import make_strategy, replica, run, session_of
from tests.graph.support import tf
from tests.tolerances import assert_close

MOMENTUM = 0.75
EPSILON = 1e-3


def _central() -> Any:
    return tf.distribute.experimental.CentralStorageStrategy(["/cpu:0", "/cpu:1"], "/cpu:0")


STRATEGIES: dict = {"mirrored": lambda: make_strategy(2), "central": _central}


def _inputs(replicas: int) -> list:
    random = np.random.RandomState(4)
    return [
        (random.randn(4 + i, 3) * (i + 1.0) + 2.0 * i).astype("float32") for i in range(replicas)
    ]


def _step(strategy: Any, layer: Callable[[Any], Any]) -> dict:
    """The variables after all updates have run once, as they are read in the strategy's scope."""
    with tf.Graph().as_default(), strategy.scope():
        inputs = _inputs(strategy.num_replicas_in_sync)

        def fn() -> Any:
            y = layer(tf.constant(inputs[replica()]))
            updates = [getattr(u, "op", u) for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
            with tf.control_dependencies(updates):
                return tf.reduce_sum(y)

        done = strategy.experimental_local_results(run(strategy, fn))
        with session_of(2) as session:
            session.run(tf.global_variables_initializer())
            session.run(done)
            read = {v.name: tf.convert_to_tensor(v) for v in tf.global_variables()}
            return session.run(read)


def _layer(layers: Any, renorm: bool) -> Callable[[Any], Any]:
    return lambda x: layers.batch_normalization(
        x, training=True, name="bn", momentum=MOMENTUM, renorm=renorm
    )


def _moments() -> tuple:
    """The means over the replicas of what each batch has."""
    inputs = [x.astype("float64") for x in _inputs(2)]
    means = np.mean([x.mean(0) for x in inputs], 0)
    return means, np.mean([x.var(0) for x in inputs], 0), inputs


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_of_the_layer(strategy: str) -> None:
    mean, variance, _ = _moments()

    found = _step(STRATEGIES[strategy](), _layer(tf1_bn, renorm=False))

    assert_close(found["bn/moving_mean:0"], (1 - MOMENTUM) * mean, "state", "float32")
    expected = MOMENTUM + (1 - MOMENTUM) * variance
    assert_close(found["bn/moving_variance:0"], expected, "state", "float32")


def test_a_step_with_renorm() -> None:
    """Of mirrored variables: the average of renorm is that of the deviations."""
    mean, _, inputs = _moments()
    stddev = np.mean([np.sqrt(x.var(0) + EPSILON) for x in inputs], 0)

    found = _step(make_strategy(2), _layer(tf1_bn, renorm=True))

    assert_close(found["bn/renorm_mean:0"], 0.01 * mean, "state", "float32")
    assert_close(found["bn/renorm_stddev:0"], 0.99 + 0.01 * stddev, "state", "float32")
    expected = MOMENTUM + (1 - MOMENTUM) * stddev
    assert_close(found["bn/moving_stddev:0"], expected, "state", "float32")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_of_contrib_with_zero_debias(strategy: str) -> None:
    mean, variance, _ = _moments()

    found = _step(
        STRATEGIES[strategy](),
        lambda x: tf1_bn.contrib.batch_norm(
            x, scope="bn", decay=MOMENTUM, fused=False, zero_debias_moving_mean=True
        ),
    )

    by_name = {name.rpartition("/")[2]: value for name, value in found.items()}
    assert_close(by_name["biased:0"], (1 - MOMENTUM) * mean, "state", "float32")
    assert_close(by_name["moving_mean:0"], mean, "state", "float32")
    expected = MOMENTUM + (1 - MOMENTUM) * variance
    assert_close(by_name["moving_variance:0"], expected, "state", "float32")
    assert by_name["local_step:0"] == 1.0


@pytest.mark.tf_max("2.15.1", reason="newer TensorFlows have no tf.layers")
@pytest.mark.parametrize("renorm", [False, True], ids=["plain", "renorm"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_original_makes_the_same_step(strategy: str, renorm: bool) -> None:
    if strategy == "central" and renorm and tf_version() < (2, 0):
        pytest.skip("TF 1.15's aggregating variable cannot be assigned per replica")

    found = _step(STRATEGIES[strategy](), _layer(tf1_bn, renorm))
    expected = _step(STRATEGIES[strategy](), _layer(tf.layers, renorm))

    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value, "state", "float32")
