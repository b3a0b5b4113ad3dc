"""Regularizers and constraints by name or config have Keras' numbers of TF 1.15.5."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from tests.conformance.runner import real_layer
from tests.graph.support import Snapshot, distinct, tf
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization, batch_normalization

X = distinct(6, 3)
GAMMA = np.array([0.5, -1.25, 3.0])
NORM = np.sqrt((GAMMA**2).sum())
# Keras keeps a factor in float32, also for float64 variables.
HUNDREDTH = float(np.float32(0.01))


def config(name: str, **arguments: Any) -> Any:
    return {"class_name": name, "config": arguments}


REGULARIZERS: Any = [
    ("l1", HUNDREDTH * 4.75, "add"),
    ("l2", HUNDREDTH * 10.8125, "add"),
    ("l1_l2", HUNDREDTH * 15.5625, "add_1"),
    ("L1L2", 0.0, "Const"),
    (config("l2", l=0.25), 0.25 * 10.8125, "add"),
    (config("L1L2", l1=0.5, l2=0.25), 0.5 * 4.75 + 0.25 * 10.8125, "add_1"),
]
CONSTRAINTS: Any = [
    ("non_neg", np.maximum(GAMMA, 0.0)),
    ("NonNeg", np.maximum(GAMMA, 0.0)),
    ("max_norm", GAMMA * 2.0 / NORM),
    ("unit_norm", GAMMA / NORM),
    ("min_max_norm", GAMMA / NORM),
    ("Constraint", GAMMA),
    (config("MaxNorm", max_value=4.0), GAMMA),
    (config("MaxNorm", max_value=1.5, axis=0), GAMMA * 1.5 / NORM),
    (
        config("MinMaxNorm", min_value=5.0, max_value=6.0, rate=0.4, axis=0),
        GAMMA * (0.4 * 5.0 + 0.6 * NORM) / NORM,
    ),
]


def built(layer_class: Any, dtype: str, session: Any, **arguments: Any) -> Any:
    layer = layer_class(name="bn", **arguments)
    layer(tf.constant(X.astype(dtype)))
    session.run(tf.global_variables_initializer())
    session.run(layer.gamma.assign(GAMMA.astype(dtype)))
    return layer


@pytest.mark.parametrize(("given", "expected", "op"), REGULARIZERS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_named_regularizer(
    given: Any, expected: float, op: str, dtype: str, session: Any
) -> None:
    layer = built(BatchNormalization, dtype, session, gamma_regularizer=given)
    (loss,) = layer.losses
    assert loss.op.name == f"bn/gamma/Regularizer/{op}"
    assert_close(session.run(loss), expected, "output", dtype)
    again = BatchNormalization.from_config({**layer.get_config(), "name": "again"})
    again(tf.constant(X.astype(dtype)))
    session.run(again.gamma.initializer)
    session.run(again.gamma.assign(GAMMA.astype(dtype)))
    assert_close(session.run(again.losses[0]), expected, "output", dtype)


@pytest.mark.parametrize(("given", "expected"), CONSTRAINTS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_named_constraint(given: Any, expected: Any, dtype: str, session: Any) -> None:
    layer = built(BatchNormalization, dtype, session, gamma_constraint=given)
    # The optimizer moves nothing, and applies the constraint.
    loss = tf.reduce_sum(layer.gamma * 0.0)
    session.run(tf.train.GradientDescentOptimizer(0.5).minimize(loss))
    # Keras adds 1e-7 to the norm.
    np.testing.assert_allclose(session.run(layer.gamma), expected, rtol=3e-7)
    kept = layer.get_config()
    assert (
        BatchNormalization.from_config(kept).get_config()["gamma_constraint"]
        == (kept["gamma_constraint"])
    )
    assert isinstance(kept["gamma_constraint"], dict)


@pytest.mark.tf_max("1.15", reason="the numbers are those of TF 1.15.5")
@pytest.mark.parametrize("given", [row[0] for row in REGULARIZERS], ids=str)
def test_the_real_layer_has_the_same_losses_and_config(given: Any, session: Any) -> None:
    real = built(real_layer().layer, "float32", session, gamma_regularizer=given)
    expected = session.run(real.losses)
    with tf.Graph().as_default(), tf.Session() as other:
        ours = built(BatchNormalization, "float32", other, gamma_regularizer=given)
        assert other.run(ours.losses) == expected
    assert ours.get_config()["gamma_regularizer"] == real.get_config()["gamma_regularizer"]


@pytest.mark.tf_max("1.15", reason="the numbers are those of TF 1.15.5")
@pytest.mark.parametrize("given", [row[0] for row in CONSTRAINTS], ids=str)
def test_the_real_layer_has_the_same_projection_and_config(given: Any, session: Any) -> None:
    real = built(real_layer().layer, "float32", session, gamma_constraint=given)
    expected = session.run(real.gamma.constraint(real.gamma))
    with tf.Graph().as_default(), tf.Session() as other:
        ours = built(BatchNormalization, "float32", other, gamma_constraint=given)
        found = other.run(ours.gamma.constraint(ours.gamma))
    np.testing.assert_array_equal(found, expected)
    assert ours.get_config()["gamma_constraint"] == real.get_config()["gamma_constraint"]


def test_the_function_and_add_weight_take_names_too(session: Any) -> None:
    batch_normalization(tf.constant(X), beta_regularizer="l1", gamma_regularizer="l2", name="bn")
    layer = BatchNormalization(name="layer")
    layer.add_weight("own", [4], initializer="ones", regularizer="l1", constraint="non_neg")
    session.run(tf.global_variables_initializer())
    losses = session.run(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES))
    assert_close(np.array(losses), np.array([0.03, 0.0, 0.04]), "output", "float32")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"gamma_regularizer": "l3"},
            ValueError,
            "`gamma_reg.*'l3'.*Unknown regularizer",
        ),
        (
            {"beta_constraint": "positive"},
            ValueError,
            "`beta_constr.*Unknown constraint",
        ),
        ({"beta_regularizer": {"class_name": "l2"}}, ValueError, "`beta_r.*Improper config format"),
        ({"gamma_constraint": 3}, ValueError, "`gamma_con.*got 3.*Could not interpret constraint"),
        ({"gamma_regularizer": config("l2", x=1)}, TypeError, "'x'.*`gamma_regularizer`"),
        ({"gamma_constraint": config("NonNeg", x=1)}, TypeError, "`gamma_constraint`"),
    ],
)
def test_an_unknown_one_is_refused_before_anything_is_made(
    arguments: Any, error: Any, words: str, fresh_graph: Any
) -> None:
    x = tf.constant(X)
    before = Snapshot.of(fresh_graph)
    with pytest.raises(error, match=words):
        batch_normalization(x, **arguments)
    with pytest.raises(error, match=words):
        BatchNormalization(**arguments)
    assert Snapshot.of(fresh_graph) == before


@pytest.mark.parametrize(
    ("argument", "given", "kind", "name", "value"),
    [
        ("gamma_regularizer", "l2", "L1L2", "l2", 0.5),
        ("beta_constraint", "max_norm", "MaxNorm", "max_value", 0.25),
        ("gamma_constraint", config("MinMaxNorm", rate=0.5), "MinMaxNorm", "min_value", 4.0),
        ("gamma_constraint", "unit_norm", "UnitNorm", "axis", [0]),
    ],
)
def test_they_are_objects_as_keras_has_them(
    argument: str, given: Any, kind: str, name: str, value: Any
) -> None:
    """Programs serialize, hash, pickle and nest them, and change their arguments in training."""
    found = getattr(BatchNormalization(**{argument: given}), argument)
    other = getattr(BatchNormalization(**{argument: given}), argument)

    assert type(found).__name__ == kind and len({found, other}) == 2
    assert tf.nest.flatten({"kept": found}) == [found]
    assert pickle.loads(pickle.dumps(found)).get_config() == found.get_config()
    setattr(found, name, value)
    assert found.get_config() == {**other.get_config(), name: value}


def test_a_factor_that_is_changed_counts(session: Any) -> None:
    layer = BatchNormalization(gamma_regularizer="l2")
    layer.gamma_regularizer.l2 = 0.5
    layer(tf.constant(X), training=True)
    session.run(tf.global_variables_initializer())
    layer.gamma.load(GAMMA, session)
    assert_close(session.run(layer.losses[0]), 0.5 * 10.8125, "output", "float32", "same")


# Keras 2.15 warns of each object whose class does not descend from its own.
@pytest.mark.filterwarnings("ignore:The `keras:UserWarning")
@pytest.mark.tf_max("2.15", reason="it calls the real tf.keras, which is Keras 3 later")
def test_keras_serializes_them_as_its_own() -> None:
    keras = tf.keras
    for kind, given in (("regularizer", "l1_l2"), ("constraint", "non_neg")):
        module = getattr(keras, f"{kind}s")
        argument = f"gamma_{kind}"
        ours = module.serialize(getattr(BatchNormalization(**{argument: given}), argument))
        assert ours["class_name"] == module.serialize(module.get(given))["class_name"]
        assert ours["config"] == module.serialize(module.get(given))["config"]
