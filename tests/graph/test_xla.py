"""Layers that XLA compiles: their numbers are those of the uncompiled layer and of NumPy."""

from __future__ import annotations

import functools
from typing import Any, Callable, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import V2_MODE, make_session, tensorflow, tf_version
from tests.reference import Norm, new_state, slopes, train
from tests.tolerances import assert_close
from tf1_bn._src.runtime.tensorflow_v1 import as_on, machine

tf = tensorflow()
MOMENTUM, EPSILON = 0.75, 1e-3
JIT = "jit_compile" if tf_version() >= (2, 5) else "experimental_compile"
LAYERS = {
    "rank 4": ((5, 4, 2, 3), {}),
    "rank 4, channels first": ((5, 3, 4, 2), {"axis": 1}),
    "rank 4, composed": ((5, 4, 2, 3), {"fused": False}),
    "rank 2": ((40, 3), {}),
    "rank 2, folded": ((40, 3), {"fused": True}),
    "rank 2, columns": ((256, 3), {"fused": True}),
    "renorm": ((40, 3), {"renorm": True, "renorm_clipping": {"rmax": 1.5, "dmax": 0.5}}),
    "renorm, folded": ((40, 3), {"renorm": True, "fused": True}),
    "ghosts": ((40, 3), {"virtual_batch_size": 8}),
    "ghosts, folded": ((40, 3), {"virtual_batch_size": 8, "fused": True}),
}
WAYS = ("jit_scope", "xla.compile", "tf.function")


@pytest.fixture(autouse=True)
def _machine_of_columns(request: Any) -> Iterator[None]:
    """Where a case is named after columns, the op is one that wants them."""
    here = machine()
    if "columns" in request.node.name:
        here = here._replace(quick=True, vectors=True)
    with as_on(here):
        yield


def _inputs(shape: tuple, channel_axis: int) -> Any:
    random = np.random.RandomState(3)
    wide = [-1 if axis == channel_axis else 1 for axis in range(len(shape))]
    widths, means = np.float32([0.5, 1.0, 2.0]), np.float32([-1.0, 0.25, 2.0])
    return (random.randn(*shape) * widths.reshape(wide) + means.reshape(wide)).astype("float32")


class _Case:
    """One layer, its step, and a way to have it compiled."""

    def __init__(self, name: str, batch: int | None, training: Any) -> None:
        shape, self.arguments = LAYERS[name]
        self.x = _inputs(shape, self.arguments.get("axis", len(shape) - 1))
        self.weights = np.cos(np.arange(self.x.size, dtype="float32")).reshape(shape)
        self.spec = [batch, *shape[1:]]
        self.training = training

    def step(self, layer: Any, inputs: Any, weights: Any, flag: Any) -> list:
        """Outputs and gradients, to be had only after the updates."""
        training = flag if self.training == "run time" else self.training
        with tf1_bn.updates("in_place"):
            outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(outputs**2 * weights)
        return [outputs, *tf.gradients(loss, [inputs, layer.gamma, layer.beta])]

    def run(self, way: str | None, size: int) -> tuple:
        """Outputs, gradients and state after one step on the first `size` rows."""
        with tf.Graph().as_default() as graph, make_session(graph) as session:
            x, weights = (tf.placeholder(tf.float32, self.spec) for _ in range(2))
            flag = tf.placeholder_with_default(True, [])
            with tf.variable_scope("net", use_resource=True):
                layer = tf1_bn.BatchNormalization(
                    momentum=MOMENTUM, epsilon=EPSILON, name="bn", **self.arguments
                )
                layer.build(self.spec)
                results = _COMPILE[way](functools.partial(self.step, layer), [x, weights, flag])
            session.run(tf.global_variables_initializer())
            found = session.run(results, {x: self.x[:size], weights: self.weights[:size]})
            return found, session.run(layer.non_trainable_variables)


def _plainly(step: Callable, tensors: list) -> Any:
    return step(*tensors)


def _in_a_scope(step: Callable, tensors: list) -> Any:
    with tf.xla.experimental.jit_scope():
        results = step(*tensors)
    kinds = ("FusedBatchNormV3", "Rsqrt", "Select", "IdentityN")
    ops = [op for op in tf.get_default_graph().get_operations() if op.type in kinds]
    if not V2_MODE:
        assert ops and all(op.get_attr("_XlaCompile") for op in ops)
    return results


def _rewritten(step: Callable, tensors: list) -> Any:
    return tf.xla.experimental.compile(step, tensors)


def _in_a_function(step: Callable, tensors: list) -> Any:
    function = tf.function(step, autograph=False, **{JIT: True})
    return function(*tensors)


_COMPILE: dict = {
    None: _plainly,
    "jit_scope": _in_a_scope,
    "xla.compile": _rewritten,
    "tf.function": _in_a_function,
}


def _compare(found: tuple, expected: tuple) -> None:
    (outputs, *gradients), state = found
    (expected_outputs, *expected_gradients), expected_state = expected
    assert_close(outputs, expected_outputs, "output", "float32", "XLA")
    for one, other in zip(gradients, expected_gradients):
        assert_close(one, other, "gradient", "float32", "XLA")
    assert len(state) == len(expected_state) >= 2
    for one, other in zip(state, expected_state):
        assert_close(one, other, "state", "float32", "XLA")


@pytest.mark.parametrize("training", [True, "run time", False])
@pytest.mark.parametrize("batch", ["known", "unknown"])
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_compiled_a_layer_has_the_numbers_it_has_uncompiled(
    name: str, batch: str, training: Any
) -> None:
    rows = LAYERS[name][0][0]
    case = _Case(name, rows if batch == "known" else None, training)
    plain = case.run(None, rows)

    for way in WAYS:
        _compare(case.run(way, rows), plain)
    assert (np.abs(plain[1][0]).min() > 0) == (training is not False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["rank 4, composed", "rank 2", "rank 2, folded"])
def test_compiled_a_layer_has_the_numbers_of_numpy(name: str, way: str) -> None:
    case = _Case(name, None, True)
    x, weights = (value.astype("float64").reshape(-1, 3) for value in (case.x, case.weights))
    norm, state = Norm(kept=MOMENTUM, epsilon=EPSILON), new_state(np.ones(3), np.zeros(3))
    outputs, after, _ = train(norm, x, state)
    by = slopes(norm, x, state, 2.0 * outputs * weights, training=True)

    (found, _, d_gamma, d_beta), (moving_mean, moving_variance) = case.run(way, len(case.x))
    assert_close(found.reshape(-1, 3), outputs, "output", "float32", "XLA")
    assert_close(d_gamma, by.gamma, "gradient", "float32", "XLA")
    assert_close(d_beta, by.beta, "gradient", "float32", "XLA")
    assert_close(moving_mean, after["moving_mean"], "state", "float32", "XLA")
    assert_close(moving_variance, after["moving_variance"], "state", "float32", "XLA")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("training", [True, "run time"])
@pytest.mark.parametrize("batch", [None, 0])
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_compiled_an_empty_batch_changes_nothing(
    name: str, batch: Any, training: Any, way: str
) -> None:
    case = _Case(name, batch, training)

    (outputs, d_inputs, d_gamma, d_beta), state = case.run(way, 0)
    assert outputs.shape == d_inputs.shape == (0, *LAYERS[name][0][1:])
    assert d_gamma.ravel().tolist() == d_beta.ravel().tolist() == [0.0, 0.0, 0.0]
    # As initialized; those of renorm come after mean and variance.
    assert state[0].ravel().tolist() == [0.0, 0.0, 0.0]
    assert state[1].ravel().tolist() == [1.0, 1.0, 1.0]
    assert all(np.ptp(value) == 0.0 and value.max() in (0.0, 1.0) for value in state)


# TensorFlow 1.15 compiles what it can of a function and runs the rest.
_STRICT = ("xla.compile", "tf.function") if tf_version() >= (2, 0) else ("xla.compile",)


@pytest.mark.parametrize("way", _STRICT)
def test_the_ways_do_compile(way: str, session: Any) -> None:
    """XLA, and nothing else, has no kernel for strings."""
    x = tf.placeholder(tf.float32, [1])
    lengths = _COMPILE[way](lambda x: tf.strings.length(tf.strings.as_string(x)), [x])

    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)):
        session.run(lengths, {x: [1.0]})


def test_a_jit_scope_is_compiled(session: Any) -> None:
    x = tf.placeholder(tf.float32, [None, 4, 2, 3])
    with tf.variable_scope("net", use_resource=True), tf.xla.experimental.jit_scope():
        outputs = tf1_bn.batch_normalization(x, training=True)
    session.run(tf.global_variables_initializer())
    seen, options = tf.RunMetadata(), tf.RunOptions(output_partition_graphs=True)
    session.run(outputs, {x: np.ones([5, 4, 2, 3])}, options, seen)

    kinds = [node.op for graph in seen.partition_graphs for node in graph.node]
    assert "_XlaRun" in kinds and "FusedBatchNormV3" not in kinds
