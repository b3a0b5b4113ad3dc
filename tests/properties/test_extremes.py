"""States and settings at which a bound of the algorithm decides, which random ones rarely meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_session
from tests.properties.bench import Layer, bench, draw, draw_state, tf
from tests.properties.test_reference import assert_step, seeds
from tests.reference import FUSED_EPSILON, Norm, infer, train
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization, batch_normalization, minimize

RENORM = Layer(Norm(renorm=True, epsilon=0.25), (6, 5))


@given(seed=seeds, size=st.floats(0.0, 0.5))
def test_renorm_with_averages_below_the_root_of_epsilon(seed: int, size: float) -> None:
    """Such as zero-initialized ones: R has a floor, and no variance becomes negative."""
    # The batch's own deviation is at least the root of epsilon, so only the average brings it down.
    x = draw(RENORM, seed) * 1e-3
    state = draw_state(RENORM, seed)
    for name in ("renorm_stddev", "moving_stddev"):
        state[name] = state[name] * 0.3 * size
    found = bench(RENORM).run(x, state)
    assert_step(RENORM, found, train(RENORM.norm, x, state))
    assert (found[1]["moving_variance"] == 0).all()


@given(seed=seeds, width=st.floats(1e-4, 1e-3))
@settings(max_examples=10)
def test_the_fused_epsilon_is_1_001e_5(seed: int, width: float) -> None:
    """Channels so narrow that a thousandth of the epsilon shows."""
    layer = Layer(Norm((3,), fused=True, epsilon=1e-9), (4, 3, 2, 5), "float32", fused=True)
    x = (draw(layer, seed) * width).astype("float32")
    x = x - x.mean((0, 1, 2))
    state = draw_state(layer, seed)
    y, _ = bench(layer).run(x, state)
    wide = x.astype("float64")
    centered = wide - wide.mean((0, 1, 2))
    expected = centered / np.sqrt(wide.var((0, 1, 2)) + FUSED_EPSILON)
    assert_close(y, expected * state["gamma"] + state["beta"], "output", "float32", "NumPy")


def _ancestors(op: tf.Operation) -> set:
    seen, pending = {op}, [op]
    while pending:
        current = pending.pop()
        for source in [t.op for t in current.inputs] + list(current.control_inputs):
            if source not in seen:
                seen.add(source)
                pending.append(source)
    return seen


@pytest.mark.parametrize("use_resource", [False, True])
def test_the_averages_of_renorm_wait_for_the_correction_from_before(use_resource: bool) -> None:
    """By the wiring: a race is right most of the time, so numbers alone would not show it."""
    with tf.variable_scope("net", use_resource=use_resource):
        layer = BatchNormalization(renorm=True, name="bn")
        layer(tf.placeholder(tf.float64, [6, 5]), training=True)
    operations = tf.get_default_graph().get_operations()
    writes = [
        op
        for op in operations
        if op.type in ("AssignSub", "AssignSubVariableOp")
        and op.inputs[0].op.name.split("/")[-1] in ("renorm_mean", "renorm_stddev")
    ]
    assert len(writes) == 2
    corrections = {op for op in operations if op.name.endswith(("renorm_r", "renorm_d"))}
    assert len(corrections) == 2
    for write in writes:
        assert corrections <= _ancestors(write), write.name


def test_a_correction_is_of_the_averages_before_the_step_in_one_run() -> None:
    """Output and updates together, many times over: none sees the averages half moved."""
    with make_session(tf.get_default_graph()) as session:
        layer = BatchNormalization(renorm=True, renorm_momentum=0.0, name="bn")
        x = tf.placeholder(tf.float64, [6, 5])
        y = layer(x, training=True)
        session.run(tf.global_variables_initializer())
        rows = Layer(Norm(renorm=True, renorm_kept=0.0, kept=0.99), (6, 5))
        state = dict(zip(("gamma", "beta"), session.run([layer.gamma, layer.beta])))
        for seed in range(20):
            for name in ("moving_mean", "moving_variance", "moving_stddev", "renorm_mean",
                         "renorm_stddev"):  # fmt: skip
                state[name] = session.run(getattr(layer, name))
            batch = draw(rows, seed)
            found, _ = session.run([y, layer.updates], {x: batch})
            expected = train(rows.norm, batch, state).outputs
            assert_close(found, expected, "output", "float64", "NumPy", what=f"step {seed}")


@pytest.mark.parametrize("use_resource", [False, True])
def test_the_updates_of_a_shared_layer_read_what_the_earlier_ones_wrote(use_resource: bool) -> None:
    """By the wiring, since a read that waits for nothing may still come late enough."""
    with tf.variable_scope("net", use_resource=use_resource):
        layer = BatchNormalization(name="bn")
        outputs = [layer(tf.placeholder(tf.float64, [6, 5]), training=True) for _ in range(3)]
    loss = tf.reduce_sum(tf.sin(tf.add_n(outputs)))
    minimize(tf.train.GradientDescentOptimizer(0.5), loss)

    variable = tf.get_default_graph().get_operation_by_name("net/bn/moving_mean")
    chained = [
        op
        for op in tf.get_default_graph().get_operations()
        if op.type in ("AssignSub", "AssignSubVariableOp")
        and op.inputs[0].op is variable
        and "updates_in_order" in op.name
    ]
    assert len(chained) == 3
    for earlier, later in zip(chained, chained[1:]):
        # The update subtracts (old - value) * rate.
        delta = later.inputs[1].op.inputs[0].op
        old = delta.inputs[0].op
        assert variable in _ancestors(old), old
        assert earlier in _ancestors(old), f"{later.name} reads before {earlier.name} wrote"


@pytest.mark.parametrize("training", [False, 0])
def test_inference_of_a_known_batch_that_ghosts_do_not_divide(training: Any) -> None:
    """Ghost batches are for training; only there must they divide the batch."""
    layer = Layer(Norm(ghost=4), (7, 5))
    x, state = draw(layer, 3), draw_state(layer, 4)
    y = batch_normalization(tf.constant(x), training=training, virtual_batch_size=4, name="bn")
    variables = {v.op.name.split("/")[-1]: v for v in tf.global_variables()}
    with make_session(tf.get_default_graph()) as session:
        feed = {
            v.initializer.inputs[1]: state[name].reshape(v.shape.as_list())
            for name, v in variables.items()
        }
        session.run([v.initializer for v in variables.values()], feed)
        assert_close(
            session.run(y), infer(layer.norm, x, state).outputs, "output", "float64", "NumPy"
        )
