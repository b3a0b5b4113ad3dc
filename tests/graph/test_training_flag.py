"""`training` in all its forms: known beforehand it builds one phase, otherwise both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.graph.support import distinct, set_distinct_state, tf, update_ops
from tests.reference import Norm, infer, train
from tests.tolerances import assert_close
from tf1_bn import batch_normalization

X = distinct(6, 3)
BOTH = [False, True]


def _normalized(training: bool, state: dict, scope: str = "bn") -> Any:
    own = {name.split("/")[-1]: value for name, value in state.items() if f"{scope}/" in name}
    return (train if training else infer)(Norm(), X, own).outputs


KNOWN = [
    (True, True),
    (False, False),
    (1, True),
    (0, False),
    (1.0, True),
    (0.0, False),
    (np.bool_(True), True),
    (np.bool_(False), False),
    (np.array(True), True),
    (np.int64(0), False),
]


@pytest.mark.parametrize(("training", "value"), KNOWN)
def test_a_known_flag_builds_one_phase(training: Any, value: bool, session: Any) -> None:
    outputs = batch_normalization(tf.constant(X), training=training, name="bn")
    state = set_distinct_state(session)

    assert_close(session.run(outputs), _normalized(value, state), "output", "float32")
    assert len(update_ops()) == 2 * value
    assert not [op for op in tf.get_default_graph().get_operations() if "cond" in op.name]


@pytest.mark.parametrize("value", BOTH)
def test_a_constant_tensor_is_known(value: bool) -> None:
    batch_normalization(tf.constant(X), training=tf.constant(value))

    assert len(update_ops()) == 2 * value
    assert not [op for op in tf.get_default_graph().get_operations() if "cond" in op.name]


# What TF 1.15.5's own constant evaluation gave for each: a number is True unless it is 0.
FOLDED = {
    "not": (lambda: tf.logical_not(tf.constant(False)), True),
    "not not": (lambda: tf.logical_not(tf.logical_not(tf.constant(False))), False),
    "identity": (lambda: tf.identity(tf.constant(True)), True),
    "and": (lambda: tf.logical_and(tf.constant(True), tf.identity(tf.constant(False))), False),
    "or": (lambda: tf.logical_or(tf.constant(False), tf.constant(True)), True),
    "xor": (lambda: tf.logical_xor(tf.constant(True), tf.constant(True)), False),
    "equal words": (lambda: tf.equal(tf.constant("train"), "train"), True),
    "other words": (lambda: tf.not_equal(tf.identity(tf.constant("train")), "train"), False),
    "less": (lambda: tf.less(tf.constant(3), tf.constant(4)), True),
    "at least": (lambda: tf.greater_equal(tf.constant(3.0), 4.0), False),
    "cast": (lambda: tf.cast(tf.constant(2) - 2, tf.bool), False),
    "sum": (lambda: tf.reduce_sum(tf.constant([1, 2])) > 2, True),
    "every": (lambda: tf.reduce_all(tf.constant([True, False])), False),
    "where": (lambda: tf.where(tf.constant(False), tf.constant(True), tf.constant(False)), False),
    "slice": (lambda: tf.logical_not(tf.constant([True, False]))[1], True),
    "rank": (lambda: tf.equal(tf.rank(tf.placeholder(tf.float32, [None, 3])), 2), True),
    "one value": (lambda: tf.reshape(tf.logical_not(tf.constant([True])), []), False),
    "under control": (lambda: _under_control(tf.logical_not), False),
    "integer 1": (lambda: tf.constant(1), True),
    "integer 0": (lambda: tf.identity(tf.constant(0)), False),
    "float -3": (lambda: tf.constant(-3.0), True),
    "vector of one": (lambda: tf.constant([True]), True),
}


def _under_control(function: Any) -> Any:
    with tf.control_dependencies([tf.placeholder(tf.bool, [])]):
        return function(tf.constant(True))


@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("form", sorted(FOLDED))
def test_a_tensor_of_constants_is_known(form: str, rank: int, session: Any) -> None:
    make, value = FOLDED[form]
    flag = make()
    inputs = tf.constant(X if rank == 2 else X.reshape(2, 1, 3, 3))
    made = len(tf.get_default_graph().get_operations())
    outputs = batch_normalization(inputs, training=flag, name="bn")
    ops = tf.get_default_graph().get_operations()[made:]
    state = set_distinct_state(session)

    assert not [op.name for op in ops if op.type in ("Switch", "If", "StatelessIf")]
    assert outputs.op.name == ("bn/batchnorm/add_1" if rank == 2 else "bn/FusedBatchNormV3")
    assert len(update_ops()) == 2 * value
    known = session.run(outputs).reshape(6, 3)
    assert_close(known, _normalized(value, state), "output", "float32")


OPEN = {
    "default": lambda: tf.logical_not(tf.placeholder_with_default(False, [])),
    "or": lambda: tf.logical_or(tf.constant(True), tf.placeholder(tf.bool, [])),
    "random": lambda: tf.less(tf.random_uniform([], seed=3), 2.0),
    "size": lambda: tf.equal(tf.shape(tf.placeholder(tf.float32, [None, 3]))[0], 6),
    "variable": lambda: tf.logical_not(tf.get_variable("flag", initializer=False, trainable=False)),
    "overflow": lambda: tf.equal(tf.constant(1) // tf.identity(tf.constant(0)), 0),
    "large": lambda: tf.reduce_all(tf.fill([1 << 30], True)),
}


@pytest.mark.parametrize("form", sorted(OPEN))
def test_a_tensor_of_anything_else_is_decided_at_run_time(form: str) -> None:
    batch_normalization(tf.constant(X), training=OPEN[form](), name="bn")

    assert len(update_ops()) == 2
    assert [op for op in tf.get_default_graph().get_operations() if "bn/cond" in op.name]


def test_a_long_chain_of_constants_is_known() -> None:
    flag = tf.constant(True)
    for _ in range(3000):  # three times Python's recursion limit
        flag = tf.logical_not(flag)

    batch_normalization(tf.constant(X), training=flag, name="bn")

    names = [op.name.split("/")[1] for op in update_ops()]
    assert names == ["AssignMovingAvg", "AssignMovingAvg_1"]


def _flags() -> dict:
    shaped, shapeless = tf.placeholder(tf.bool, []), tf.placeholder(tf.bool)
    with_default = tf.placeholder_with_default(False, [])
    number, mode = tf.placeholder(tf.int32, []), tf.placeholder(tf.string, [])
    return {
        "placeholder": (shaped, shaped, BOTH),
        "placeholder of unknown shape": (shapeless, shapeless, BOTH),
        "placeholder with default": (with_default, with_default, BOTH),
        "negated": (tf.logical_not(shaped), shaped, BOTH[::-1]),
        "comparison": (tf.equal(mode, "train"), mode, ["test", "train"]),
        "cast": (tf.cast(number, tf.bool), number, [0, 1]),
    }


@pytest.mark.parametrize("form", sorted(_flags()))
@pytest.mark.parametrize("rank", [2, 4])
def test_a_tensor_serves_both_phases_in_one_graph(form: str, rank: int, session: Any) -> None:
    training, feed, values = _flags()[form]
    inputs = tf.constant(X if rank == 2 else X.reshape(2, 1, 3, 3))
    outputs = batch_normalization(inputs, training=training, name="bn", momentum=0.5)
    state = set_distinct_state(session)
    statistics = [v for v in tf.global_variables() if "moving" in v.op.name]

    inference = session.run([outputs, update_ops()], {feed: values[0]})[0]
    assert_close(inference.reshape(6, 3), _normalized(False, state), "output", "float32")
    for variable in statistics:
        np.testing.assert_array_equal(session.run(variable), state[variable.op.name])

    trained = session.run([outputs, update_ops()], {feed: values[1]})[0]
    assert_close(trained.reshape(6, 3), _normalized(True, state), "output", "float32")
    x = X.astype("float64")
    bessel = 6 / 5 if rank == 4 else 1
    for variable, batch in zip(statistics, (x.mean(0), x.var(0) * bessel)):
        expected = 0.5 * state[variable.op.name] + 0.5 * batch
        assert_close(session.run(variable), expected, "state", "float32")


def test_a_bool_variable_switches_the_phase(session: Any) -> None:
    phase = tf.get_variable("phase", initializer=False, dtype=tf.bool, trainable=False)
    outputs = batch_normalization(tf.constant(X), training=phase, name="bn")
    set_distinct = {v.op.name: v for v in tf.global_variables() if v is not phase}
    session.run(tf.global_variables_initializer())
    state = {name: session.run(variable) for name, variable in set_distinct.items()}

    for value in BOTH:
        session.run(phase.assign(value))
        assert_close(session.run(outputs), _normalized(value, state), "output", "float32")


def test_none_is_keras_learning_phase_false_unless_fed(session: Any) -> None:
    first = batch_normalization(tf.constant(X), training=None, name="bn")
    batch_normalization(tf.constant(X), training=None, name="other")
    state = set_distinct_state(session)

    assert_close(session.run(first), _normalized(False, state), "output", "float32")
    fed = session.run(first, {"keras_learning_phase:0": True})
    assert_close(fed, _normalized(True, state), "output", "float32")
    phases = [op for op in tf.get_default_graph().get_operations() if op.type.startswith("Placeh")]
    assert [op.name for op in phases] == ["keras_learning_phase"]


def test_a_learning_phase_the_program_made_is_used() -> None:
    phase = tf.placeholder_with_default(False, [], name="keras_learning_phase")

    outputs = batch_normalization(tf.constant(X), training=None)

    assert phase.consumers() and outputs.graph is phase.graph
    names = [op.name for op in tf.get_default_graph().get_operations()]
    assert "keras_learning_phase_1" not in names


def test_omitted_training_is_inference(session: Any) -> None:
    outputs = batch_normalization(tf.constant(X), name="bn")
    state = set_distinct_state(session)

    assert_close(session.run(outputs), _normalized(False, state), "output", "float32")
    assert update_ops() == []
