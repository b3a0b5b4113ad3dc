"""`tf1_bn.updates("in_place")`: whatever is fetched of the outputs moves the averages, in order."""

from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest

import tf1_bn
from tests.conftest import V2_MODE, tf_version
from tests.graph.support import Snapshot, distinct, tf, update_ops
from tests.reference import Norm, new_state, normalized, train
from tests.tolerances import assert_close

MOMENTUM = 0.75
EPSILON = 1e-3


class Place(NamedTuple):
    """A place of a layer in a graph: what it computes there, and the batches it has seen."""

    build: Callable[[Any, Any], Any]
    batches: Callable[[Any], list]


def _chained(x: Any, steps: int) -> list:
    """Batches of a loop whose step adds the input to the last one's normalized outcome."""
    batches = [x]
    while len(batches) < steps:
        batches.append(normalized(batches[-1], EPSILON) + x)
    return batches


def _loop(steps: int, body: Callable[[Any, Any], Any], start: Any, **options: Any) -> Any:
    loop = tf.while_loop(
        lambda step, _: step < steps,
        lambda step, carried: (step + 1, body(step, carried)),
        [0, start],
        **options,
    )
    return loop[1]


def _flag(value: bool) -> Any:
    return tf.placeholder_with_default(value, [])


def _under_dependencies(x: Any, norm: Any) -> Any:
    with tf.control_dependencies([tf.no_op()]):
        return norm(x)


class _Cell:
    """A recurrent cell that normalizes its input plus its state."""

    output_size = state_size = 3

    def __init__(self, norm: Any) -> None:
        self._norm = norm

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Any:
        outputs = self._norm(inputs + state)
        return outputs, outputs

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        return tf.zeros([batch_size, 3], dtype)

    def get_initial_state(self, inputs: Any, batch_size: Any, dtype: Any) -> Any:
        return self.zero_state(batch_size, dtype)


def _recurrent(x: Any, norm: Any) -> Any:
    sequence = tf.stack([x, x, x], axis=1)
    return tf.nn.dynamic_rnn(_Cell(norm), sequence, dtype=tf.float32)[0]


PLACES = {
    "outermost": Place(lambda x, norm: norm(x), lambda x: [x]),
    "control dependencies": Place(_under_dependencies, lambda x: [x]),
    "taken branch": Place(
        lambda x, norm: tf.cond(_flag(True), lambda: norm(x), lambda: x), lambda x: [x]
    ),
    "case": Place(
        lambda x, norm: tf.case([(_flag(False), lambda: x)], default=lambda: norm(x)),
        lambda x: [x],
    ),
    "loop of a chain": Place(
        lambda x, norm: _loop(3, lambda _, carried: norm(carried) + x, x),
        lambda x: _chained(x, 3),
    ),
    "loop over one batch": Place(
        lambda x, norm: _loop(
            3, lambda _, total: total + norm(x), tf.zeros_like(x), parallel_iterations=1
        ),
        lambda x: [x] * 3,
    ),
    "map": Place(
        lambda x, norm: tf.map_fn(
            lambda factor: norm(factor * x), tf.constant([1.0, 2.0, 4.0]), parallel_iterations=1
        ),
        lambda x: [x, 2.0 * x, 4.0 * x],
    ),
    "recurrent cell": Place(
        _recurrent, lambda x: [x, x + normalized(x), x + normalized(x + normalized(x))]
    ),
    "branch in a loop": Place(
        lambda x, norm: _loop(
            3,
            lambda step, carried: tf.cond(step < 2, lambda: norm(carried), lambda: carried) + x,
            x,
        ),
        lambda x: _chained(x, 2),
    ),
    "loop in a branch": Place(
        lambda x, norm: tf.cond(
            _flag(True),
            lambda: _loop(3, lambda _, carried: norm(carried) + x, x),
            lambda: x,
        ),
        lambda x: _chained(x, 3),
    ),
}
LOSSES = {
    # Its gradient needs nothing of the outputs, the other's does.
    "linear": lambda outputs: tf.reduce_sum(outputs * np.float32([1.0, -2.0, 3.0])),
    "cubic": lambda outputs: tf.reduce_sum(outputs**3),
}


def averages(batches: list) -> tuple:
    state = new_state(np.ones(3), np.zeros(3))
    for batch in batches:
        state = train(Norm(kept=MOMENTUM, epsilon=EPSILON), batch, state).state
    return state["moving_mean"], state["moving_variance"]


def _layer(**arguments: Any) -> Any:
    layer = tf1_bn.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name="bn", **arguments)
    layer.build([None, 3])
    return layer


def _places_and_kinds() -> list:
    """Every place with ref and with resource variables, as far as TensorFlow has both."""
    kinds = [True] if V2_MODE else [False, True]
    found = [(place, use_resource) for place in sorted(PLACES) for use_resource in kinds]
    if tf_version() < (2, 0):
        # TF 1.15 has no gradient of any resource variable that is read in a branch in a loop.
        found.remove(("branch in a loop", True))
    return found


@pytest.mark.parametrize("loss_name", sorted(LOSSES))
@pytest.mark.parametrize(("place", "use_resource"), _places_and_kinds())
def test_whatever_is_fetched_moves_the_averages(
    place: str, use_resource: bool, loss_name: str, session: Any
) -> None:
    x = distinct(5, 3)
    with tf.variable_scope("net", use_resource=use_resource):
        layer = _layer()
        factor = tf.get_variable("factor", initializer=np.float32([1.0, 1.0, 1.0]))
    with tf1_bn.updates("in_place"):
        outputs = PLACES[place].build(x * factor, lambda seen: layer(seen, training=True))
    loss = LOSSES[loss_name](outputs)
    gradient = tf.gradients(loss, factor)[0]
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), loss)

    mean, variance = averages(PLACES[place].batches(x.astype("float64")))
    for fetched in (outputs, loss, gradient, step):
        session.run(tf.global_variables_initializer())
        session.run(fetched)
        moved = session.run([layer.moving_mean, layer.moving_variance])
        assert_close(moved[0], mean, "state", "float32")
        assert_close(moved[1], variance, "state", "float32")
    assert update_ops() == layer.updates == []


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("place", sorted(PLACES))
def test_a_phase_decided_at_run_time_is_the_constant_one_in_every_place(
    place: str, fused: bool, session: Any
) -> None:
    x = distinct(5, 3)
    training = tf.placeholder(tf.bool, [])
    # A direction that normalizing does not cancel.
    slant = tf.constant([0.0, 0.0, 0.0])
    inputs = x + slant * x**2
    results, layers = {}, {}
    for phase in (True, False, training):
        layer = layers[phase] = _layer(fused=fused)
        with tf1_bn.updates("in_place"):
            norm = functools.partial(layer, training=phase)
            outputs = PLACES[place].build(inputs, norm)
        results[phase] = [outputs, tf.gradients(LOSSES["cubic"](outputs), slant)[0]]
    session.run(tf.global_variables_initializer())

    constant = session.run({phase: results[phase] for phase in (True, False)})
    for phase in (False, True):
        found = session.run(results[training], {training: phase})
        for quantity, one, other in zip(("output", "gradient"), found, constant[phase]):
            assert_close(one, other, quantity, "float32")
        moved = [layers[training].moving_mean, layers[training].moving_variance]
        for one, other in zip(session.run(moved), averages(PLACES[place].batches(x) * phase)):
            assert_close(one, other, "state", "float32")


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((10, 3), {}),
        ((5, 2, 1, 3), {}),
        ((10, 3), {"renorm": True, "renorm_momentum": 0.5}),
        ((10, 3), {"virtual_batch_size": 5}),
    ],
)
def test_every_kernel_takes_the_steps_it_takes_by_collected_ops(
    shape: tuple, options: dict, fused: bool, session: Any
) -> None:
    x = distinct(10, 3).reshape(shape)
    factor, training = tf.constant(1.0), tf.placeholder(tf.bool, [])
    layers, gradients = [], []
    for mode in ("collect", "in_place"):
        with tf1_bn.updates(mode):
            layer = tf1_bn.BatchNormalization(momentum=MOMENTUM, fused=fused, **options)
            outputs = layer(tf.placeholder_with_default(x, shape) * factor, training=training)
        gradients.append(tf.gradients(tf.reduce_sum(outputs**3), factor)[0])
        layers.append(layer)
    session.run(tf.global_variables_initializer())

    for phase in (True, False, True):
        session.run([gradients[0], *layers[0].updates], {training: phase})
        session.run(gradients[1], {training: phase})
    collected, in_place = (session.run(layer.non_trainable_variables) for layer in layers)
    assert len(collected) == len(in_place) >= 2
    for expected, found in zip(collected, in_place):
        assert_close(found, expected, "state", "float32")
        assert np.abs(expected).min() > 0


@pytest.mark.parametrize("size", [0, 5])
def test_the_other_branch_and_an_empty_batch_move_nothing(size: int, session: Any) -> None:
    x = distinct(5, 3)
    inputs, taken = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.bool, [])
    layer = _layer()
    with tf1_bn.updates("in_place"):
        outputs = tf.cond(taken, lambda: layer(inputs, training=True), lambda: inputs * 2.0)
    gradient = tf.gradients(tf.reduce_sum(outputs**3), layer.gamma)[0]
    session.run(tf.global_variables_initializer())

    feed = {inputs: x[:size], taken: size == 0}
    assert session.run(outputs, feed).shape == (size, 3)
    assert not np.any(session.run(gradient, feed))
    assert not session.run(layer.moving_mean).any()
    assert (session.run(layer.moving_variance) == 1.0).all()


def test_a_second_derivative_moves_the_averages_once(session: Any) -> None:
    x = distinct(5, 3)
    factor = tf.constant([1.0, 1.0, 1.0])
    layer = _layer()
    with tf1_bn.updates("in_place"):
        outputs = layer(x * factor, training=True)
    first = tf.gradients(tf.reduce_sum(outputs**3), factor)[0]
    second = tf.gradients(tf.reduce_sum(first**2), factor)[0]
    session.run(tf.global_variables_initializer())

    assert np.abs(session.run(second)).max() > 0
    mean, _ = averages([x.astype("float64")])
    assert_close(session.run(layer.moving_mean), mean, "state", "float32")


def test_a_layer_that_is_not_trainable_moves_nothing(session: Any) -> None:
    layer = _layer(trainable=False)
    with tf1_bn.updates("in_place"):
        outputs = layer(tf.constant(distinct(5, 3)), training=True)
    session.run(tf.global_variables_initializer())

    session.run(outputs)
    assert not session.run(layer.moving_mean).any()


def test_scopes_nest_and_end(session: Any) -> None:
    x = tf.constant(distinct(5, 3))
    layers = {name: _layer() for name in ("inside", "nested", "after an error")}
    with tf1_bn.updates("in_place"):
        layers["inside"](x, training=True)
        with tf1_bn.updates("collect"):
            layers["nested"](x, training=True)
    with pytest.raises(KeyError), tf1_bn.updates("in_place"):
        raise KeyError
    layers["after an error"](x, training=True)

    counts = {name: len(layer.updates) for name, layer in layers.items()}
    assert counts == {"inside": 0, "nested": 2, "after an error": 2}


@pytest.mark.parametrize("mode", ["in place", None, True])
def test_another_mode_is_refused(mode: Any) -> None:
    message = r"`mode` must be one of \['collect', 'in_place'\] \(got"
    with pytest.raises(ValueError, match=message), tf1_bn.updates(mode):
        pass


@pytest.mark.parametrize("merged", [False, True])
def test_towers_stand_in_the_mode_around_them(merged: bool, session: Any) -> None:
    x = distinct(8, 3).astype("float64")
    parts = [tf.constant(part, tf.float32) for part in (x[:3], x[3:])]

    def model(inputs: Any) -> Any:
        return tf1_bn.batch_normalization(inputs, training=True, momentum=MOMENTUM, name="bn")

    with tf1_bn.updates("in_place"):
        if merged:
            with tf1_bn.cross_replica():
                outputs = tf1_bn.run_towers(model, parts)
        else:
            outputs = tf1_bn.run_towers(model, parts)
    moving_mean = next(v for v in tf.global_variables() if v.op.name == "bn/moving_mean")
    session.run(tf.global_variables_initializer())

    for output in outputs:
        session.run(output)
    seen = [x, x] if merged else [x[:3], x[3:]]
    assert_close(session.run(moving_mean), averages(seen)[0], "state", "float32")
    assert update_ops() == []


@pytest.mark.parametrize("loss_name", sorted(LOSSES))
@pytest.mark.parametrize("fused", [False, True])
def test_contrib_stands_in_the_mode_around_it(fused: bool, loss_name: str, session: Any) -> None:
    x = distinct(5, 3).reshape(5, 1, 1, 3)
    factor = tf.constant(1.0)
    with tf1_bn.updates("in_place"):
        outputs = tf1_bn.contrib.batch_norm(
            x * factor, decay=MOMENTUM, is_training=True, fused=fused, updates_collections="mine"
        )
    gradient = tf.gradients(LOSSES[loss_name](outputs), factor)[0]
    session.run(tf.global_variables_initializer())

    session.run(gradient)
    moving_mean = next(v for v in tf.global_variables() if v.op.name.endswith("moving_mean"))
    mean, _ = averages([x.reshape(5, 3).astype("float64")])
    assert_close(session.run(moving_mean), mean, "state", "float32")
    assert tf.get_collection("mine") == []


def _in_a_branch(x: Any, layer: Any) -> Any:
    return tf.cond(_flag(True), lambda: layer(x, training=True), lambda: x)


def _in_a_loop(x: Any, layer: Any) -> Any:
    return _loop(2, lambda _, carried: layer(carried, training=True), x)


STRANDED = {"branch": _in_a_branch, "loop": _in_a_loop}


@pytest.mark.parametrize("place", sorted(STRANDED))
def test_updates_that_nothing_can_run_are_named_with_the_way_out(place: str) -> None:
    layer = _layer()
    with pytest.warns(UserWarning, match=r"update ops of 'bn' stand inside .*updates\(\"in_place"):
        outputs = STRANDED[place](tf.constant(distinct(5, 3)), layer)
    loss = tf.reduce_sum(outputs**2)
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    before = Snapshot.of(tf.get_default_graph())

    for call in (tf1_bn.update_ops_for, lambda loss: tf1_bn.minimize(optimizer, loss)):
        with pytest.raises(ValueError, match=r"`loss` depends on .*tf1_bn.updates\(\"in_place\"\)"):
            call(loss)
    assert Snapshot.of(tf.get_default_graph()) == before

    # The gradient of a loop gives its body another name.
    tf.gradients(loss, layer.gamma)
    with pytest.raises(ValueError, match="`loss` depends on"):
        tf1_bn.update_ops_for(loss)


def test_a_loss_that_does_not_need_the_stranded_call_is_trained(session: Any) -> None:
    x = tf.constant(distinct(5, 3))
    layer, other = _layer(), _layer()
    with pytest.warns(UserWarning, match="update ops of 'bn'"):
        _in_a_branch(x, layer)
    loss = tf.reduce_sum(other(x, training=True) ** 2)

    assert tf1_bn.update_ops_for(loss) == other.updates
    assert tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), loss).type == "NoOp"


@pytest.mark.skipif(V2_MODE, reason="a train op in a branch is in a graph of its own there")
def test_a_train_op_inside_the_branch_runs_its_updates(session: Any) -> None:
    layer = _layer()

    def train() -> Any:
        with pytest.warns(UserWarning, match="update ops of 'bn'"):
            outputs = layer(tf.constant(distinct(5, 3)), training=True)
        step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), tf.reduce_sum(outputs**2))
        with tf.control_dependencies([step]):
            return tf.constant(1)

    done = tf.cond(_flag(True), train, lambda: tf.constant(0))
    session.run(tf.global_variables_initializer())

    assert session.run(done) == 1
    mean, _ = averages([distinct(5, 3).astype("float64")])
    assert_close(session.run(layer.moving_mean), mean, "state", "float32")
