"""Where merged statistics may stand: conditionals, loops, towers in towers, gradients, phases."""

from __future__ import annotations

import threading
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.distribute.replica_support import (
    EPSILON,
    Shards,
    closed_form,
    make_shards,
    make_strategy,
    per_replica,
    replica,
    run,
    session_of,
    tf,
)
from tests.tolerances import assert_close

MOMENTUM = 0.5
SHARDS = make_shards([4, 2], [3])


@pytest.fixture(params=["v1", "v2"])
def control_flow(request: Any) -> Iterator[str]:
    """Both kinds of control flow, whichever this TensorFlow starts with."""
    before = tf.control_flow_v2_enabled()
    (tf.enable_control_flow_v2 if request.param == "v2" else tf.disable_control_flow_v2)()
    try:
        yield request.param
    finally:
        (tf.enable_control_flow_v2 if before else tf.disable_control_flow_v2)()


def _layer(inputs: Any, training: Any = True, name: str = "bn", **arguments: Any) -> Any:
    return tf1_bn.batch_normalization(
        inputs, training=training, momentum=MOMENTUM, epsilon=EPSILON, name=name, **arguments
    )


def _built(name: str = "bn") -> Any:
    """A layer whose variables stand outside of whatever it is called in, of either kind."""
    layer = tf1_bn.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name)
    with tf.variable_scope(tf.get_variable_scope(), use_resource=True):
        layer.build([None, 3])
    return layer


def _inputs() -> list:
    return [tf.placeholder(tf.float32, [None, 3]) for _ in SHARDS.inputs]


def _flag() -> Any:
    return tf.placeholder_with_default(True, [])


WITHIN = {
    "cond": lambda x, fn: tf.cond(_flag(), lambda: fn(x), lambda: x),
    "while_loop": lambda x, fn: tf.while_loop(
        lambda i, _: i < 2, lambda i, y: (i + 1, fn(y)), [0, x]
    )[1],
    "map_fn": lambda x, fn: tf.map_fn(fn, x[tf.newaxis]),
    "cond in a cond": lambda x, fn: tf.cond(
        _flag(), lambda: tf.cond(_flag(), lambda: fn(x), lambda: x), lambda: x
    ),
}  # fmt: skip


def _assert_graph_is_usable(session: Any) -> None:
    """No context is open: later ops can be run, and merged layers are right."""
    with tf.variable_scope("later"), tf1_bn.cross_replica():
        xs = _inputs()
        ys = tf1_bn.run_towers(_layer, xs)
    initialize = tf.global_variables_initializer()
    assert initialize.graph.is_fetchable(initialize)
    session.run(initialize)
    found = np.concatenate(session.run(ys, dict(zip(xs, SHARDS.inputs))))
    expected = closed_form(SHARDS, 1.0, 0.0, MOMENTUM)["outputs"]
    assert_close(found, expected, "output", "float32", "merged")


@pytest.mark.parametrize("scope", ["around", "inside", "of the layer's own"])
@pytest.mark.parametrize("within", WITHIN)
def test_a_merging_layer_in_a_conditional_of_a_tower(
    within: str, scope: str, control_flow: str, session: Any
) -> None:
    kind = tf1_bn.SyncBatchNormalization if "own" in scope else tf1_bn.BatchNormalization
    layer = kind(name="bn")
    # Ref variables are out of reach in a body of control flow v2, merged or not.
    with tf.variable_scope(tf.get_variable_scope(), use_resource=control_flow == "v2"):
        layer.build([None, 3])

    def normalized(x: Any) -> Any:
        if scope == "inside":
            with tf1_bn.cross_replica():
                return layer(x, training=True)
        return layer(x, training=True)

    def model(x: Any) -> Any:
        return WITHIN[within](x, normalized)

    def build() -> None:
        with pytest.raises(ValueError, match=r"outside of any tf.cond.*'bn' in tower_0"):
            tf1_bn.run_towers(model, _inputs())

    with tf1_bn.updates("in_place"):
        if scope == "around":
            with tf1_bn.cross_replica():
                build()
        else:
            build()

    _assert_graph_is_usable(session)


def test_the_second_tower_alone_has_the_conditional(control_flow: str, session: Any) -> None:
    layer = _built()

    def model(x: Any, number: int) -> Any:
        if number:
            return WITHIN["cond"](x, lambda x: layer(x, training=True))
        return layer(x, training=True)

    with tf1_bn.cross_replica(), pytest.raises(ValueError, match="'bn' in tower_1"):
        tf1_bn.run_towers(model, list(zip(_inputs(), range(2))))
    _assert_graph_is_usable(session)


def test_conditionals_beside_merging_layers_are_fine(control_flow: str, session: Any) -> None:
    """Before, after and with a layer in inference inside; control dependencies do not count."""
    layer, xs = _built(), _inputs()

    def model(x: Any) -> Any:
        x = tf.cond(_flag(), lambda: tf.identity(x), lambda: x * 0.0)
        with tf.control_dependencies([tf.no_op()]):
            y = layer(x, training=True)
        return tf.cond(_flag(), lambda: (layer(x), y), lambda: (y, x))

    with tf1_bn.cross_replica():
        results = tf1_bn.run_towers(model, xs)
    session.run(tf.global_variables_initializer())
    found = session.run(results, dict(zip(xs, SHARDS.inputs)))

    expected = closed_form(SHARDS, 1.0, 0.0, MOMENTUM)["outputs"]
    merged = np.concatenate([training for _, training in found])
    assert_close(merged, expected, "output", "float32", "merged")


def test_without_merging_towers_may_have_conditionals(control_flow: str, session: Any) -> None:
    layer, xs = _built(), _inputs()

    def model(x: Any) -> Any:
        return tf.cond(_flag(), lambda: layer(x, training=True), lambda: x)

    with tf1_bn.updates("in_place"):
        ys = tf1_bn.run_towers(model, xs)
    session.run(tf.global_variables_initializer())

    for x, y in zip(SHARDS.inputs, session.run(ys, dict(zip(xs, SHARDS.inputs)))):
        expected = closed_form(Shards([x], [x]), 1.0, 0.0, MOMENTUM)["outputs"]
        assert_close(y, expected, "output", "float32", "merged")


def _towers_moving(layer: Any, xs: list) -> list:
    with tf1_bn.cross_replica(), tf1_bn.updates("in_place"):
        return tf1_bn.run_towers(lambda x: layer(x, training=True), xs)


def test_a_cond_around_towers_holds_them(control_flow: str, session: Any) -> None:
    layer, xs, flag = _built(), _inputs(), tf.placeholder(tf.bool, [])
    ys = tf.cond(flag, lambda: _towers_moving(layer, xs), lambda: xs)
    session.run(tf.global_variables_initializer())
    feed = dict(zip(xs, SHARDS.inputs))

    session.run(ys, {**feed, flag: False})
    np.testing.assert_array_equal(session.run(layer.moving_mean), np.zeros(3))

    found = np.concatenate(session.run(ys, {**feed, flag: True}))
    expected = closed_form(SHARDS, 1.0, 0.0, MOMENTUM)
    assert_close(found, expected["outputs"], "output", "float32", "merged")
    moved = session.run(layer.moving_mean)
    assert_close(moved, expected["moving_mean"], "state", "float32", "merged")


def test_a_loop_around_towers_holds_them(control_flow: str, session: Any) -> None:
    layer, xs = _built(), _inputs()

    def body(step: Any) -> Any:
        with tf.control_dependencies(_towers_moving(layer, xs)):
            return step + 1

    steps = tf.while_loop(lambda step: step < 3, body, [tf.constant(0)], parallel_iterations=1)
    session.run(tf.global_variables_initializer())
    session.run(steps, dict(zip(xs, SHARDS.inputs)))

    expected = (1.0 - MOMENTUM**3) * SHARDS.whole.mean(0)
    assert_close(session.run(layer.moving_mean), expected, "state", "float32", "merged")


@pytest.mark.parametrize("within", ["cond", "while_loop", "cond in a cond"])
def test_a_merging_layer_in_a_conditional_of_a_replica(within: str, control_flow: str) -> None:
    strategy, xs = make_strategy(2), _inputs()
    with strategy.scope():
        layer = _built()

    def step() -> Any:
        return WITHIN[within](xs[replica()], lambda x: layer(x, training=True))

    # A replica's graph of a branch is seen by TensorFlow itself.
    error, words = {
        "v1": (ValueError, r"outside of any tf.cond.*'bn'"),
        "v2": (RuntimeError, "`merge_call` called while defining a new graph"),
    }[control_flow]
    scopes = strategy.scope(), tf1_bn.cross_replica(), tf1_bn.updates("in_place")
    with scopes[0], scopes[1], scopes[2], pytest.raises(error, match=words):
        run(strategy, step)

    with session_of(2) as session:
        _assert_graph_is_usable(session)


@pytest.mark.parametrize("within", ["cond", "while_loop"])
def test_replicas_inside_a_conditional_are_merged(within: str, control_flow: str) -> None:
    """It holds all of them; here `strategy.run` stands in there, and not the layer in a replica."""
    strategy, xs = make_strategy(2), _inputs()
    with strategy.scope():
        layer = _built()

    def all_replicas(x: Any) -> Any:
        sums = run(strategy, lambda: tf.reduce_sum(layer(xs[replica()], training=True)))
        with tf.control_dependencies(per_replica(strategy, sums)):
            return tf.identity(x)

    with strategy.scope(), tf1_bn.cross_replica(), tf1_bn.updates("in_place"):
        done = WITHIN[within](tf.constant(0.0), all_replicas)
    with session_of(2) as session:
        session.run(tf.global_variables_initializer())
        session.run(done, dict(zip(xs, SHARDS.inputs)))
        found = session.run(per_replica(strategy, layer.moving_mean))

    steps = 2 if within == "while_loop" else 1
    expected = (1.0 - MOMENTUM**steps) * SHARDS.whole.mean(0)
    for own in found:
        assert_close(own, expected, "state", "float32", "merged")


def test_the_only_replica_may_merge_in_a_conditional(control_flow: str) -> None:
    strategy, x = tf.distribute.OneDeviceStrategy("/cpu:0"), _inputs()[0]
    with strategy.scope(), tf1_bn.cross_replica(), tf1_bn.updates("in_place"):
        layer = _built()
        y = run(strategy, lambda: WITHIN["cond"](x, lambda x: layer(x, training=True)))
    with session_of(1) as session:
        session.run(tf.global_variables_initializer())
        found = session.run(y, {x: SHARDS.whole})

    expected = closed_form(SHARDS, 1.0, 0.0, MOMENTUM)["outputs"]
    assert_close(found, expected, "output", "float32", "merged")


def _bare_except(x: Any) -> Any:
    try:
        return _layer(x, name="a")
    except:  # noqa: E722
        return x


def _layer_in_finally(x: Any) -> Any:
    try:
        return _layer(x, name="a")
    finally:
        _layer(x, name="b")


@pytest.mark.parametrize("first", [_bare_except, _layer_in_finally])
def test_a_tower_that_goes_on_after_another_has_failed(first: Any) -> None:
    raised = []

    def model(x: Any, number: int) -> Any:
        if number == 1:
            raise RuntimeError("second")
        return _layer(first(x), name="c")

    def build(graph: Any) -> None:
        with graph.as_default(), tf1_bn.cross_replica():
            try:
                tf1_bn.run_towers(model, list(zip(_inputs(), range(2))))
            except BaseException as error:
                raised.append(error)

    # In a thread, as a deadlock would end no test.
    thread = threading.Thread(target=build, args=(tf.Graph(),), daemon=True)
    thread.start()
    thread.join(60)

    assert not thread.is_alive()
    assert [str(error) for error in raised] == ["second"]


def test_towers_are_given_to_one_call_outside_of_replicas() -> None:
    strategy, pairs = make_strategy(2), [tuple(_inputs()) for _ in range(2)]

    def nested(*xs: Any) -> Any:
        return tf1_bn.run_towers(_layer, xs, name="inner")

    before = len(tf.get_default_graph().get_operations())
    with pytest.raises(ValueError, match=r"`tf1_bn.run_towers`.*inside of a tower"):
        tf1_bn.run_towers(nested, pairs)
    assert len(tf.get_default_graph().get_operations()) == before
    with strategy.scope(), pytest.raises(
        ValueError, match=r"`tf1_bn.run_towers`.*inside of a replica"
    ):
        run(strategy, lambda: nested(*pairs[replica()]))
    # One after the other is something else.
    assert len(tf1_bn.run_towers(_layer, pairs[0])) == 2


def test_what_does_not_reach_into_towers() -> None:
    strategy, created, seen = make_strategy(2), [], []

    def creator(make: Any, **arguments: Any) -> Any:
        created.append(arguments["name"])
        return make(**arguments)

    def model(x: Any) -> Any:
        seen.append(tf.distribute.has_strategy())
        return _layer(x)

    xs = _inputs()
    with tf.variable_creator_scope(creator), strategy.scope():
        tf1_bn.run_towers(model, xs)
        tf.get_variable("beside", [1])
        assert tf.distribute.has_strategy()

    assert {name.split("/")[0] for name in created} == {"beside"}
    assert seen == [False, False]


@pytest.mark.parametrize("used", [True, False])
def test_when_control_dependencies_reach_into_towers(used: bool) -> None:
    """With control flow v1 a thread starts with those of a graph that no thread has used."""
    reach = not used and not tf.control_flow_v2_enabled()
    if used:
        tf1_bn.run_towers(lambda number: number, [0, 1])
    with tf.control_dependencies([tf.no_op()]):
        ones = tf1_bn.run_towers(lambda _: tf.constant(1), [0, 1])

    assert [len(one.op.control_inputs) for one in ones] == [int(reach)] * 2


def test_replicas_take_the_scope_opened_last_in_any_thread() -> None:
    strategy, xs, calls = make_strategy(2), _inputs(), []
    opened, done = threading.Event(), threading.Event()

    def merge(own: Any) -> Any:
        calls.append(own)
        return own

    def elsewhere() -> None:
        with tf1_bn.cross_replica(merge):
            opened.set()
            done.wait(60)

    def step() -> Any:
        with tf1_bn.cross_replica():
            inside = _layer(xs[replica()], name="inside")
        return inside, _layer(xs[replica()])

    thread = threading.Thread(target=elsewhere, daemon=True)
    thread.start()
    assert opened.wait(60)
    try:
        with strategy.scope():
            run(strategy, step)
    finally:
        done.set()
        thread.join(60)

    # Not those of the scope inside of the function.
    assert len(calls) == 2


def test_replicas_at_different_layers_are_named() -> None:
    strategy, xs = make_strategy(2), _inputs()
    with strategy.scope():
        layers = [_built("a"), _built("b")]

    with strategy.scope(), tf1_bn.cross_replica(), pytest.raises(
        ValueError, match=r"same merging layers.*'a', 'b'"
    ):
        run(strategy, lambda: layers[replica()](xs[replica()], training=True))


def test_losses_of_different_layers_in_replicas_are_named() -> None:
    """One sum in each backward pass, but of two layers."""
    strategy, xs = make_strategy(2), _inputs()

    def step() -> Any:
        x = xs[replica()]
        return tf.gradients(tf.reduce_sum([_layer(x, name=n) for n in "ab"][replica()]), x)[0]

    with strategy.scope(), tf1_bn.cross_replica(), pytest.raises(
        ValueError, match=r"their losses depend on the same ones.*'a', 'b'"
    ):
        run(strategy, step)


@pytest.mark.parametrize("where", ["in run", "in the scope", "outside"])
def test_where_the_gradient_of_merged_replicas_is_taken(where: str) -> None:
    strategy = make_strategy(2)
    xs, gs = _inputs(), _inputs()

    def step() -> Any:
        y = _layer(xs[replica()])
        loss = tf.reduce_sum(y * gs[replica()])
        return loss, tf.gradients(loss, xs[replica()])[0] if where == "in run" else loss

    with strategy.scope(), tf1_bn.cross_replica():
        losses, gradients = (per_replica(strategy, part) for part in run(strategy, step))
    if where == "in run":
        with session_of(2) as session:
            session.run(tf.global_variables_initializer())
            feed = dict(zip([*xs, *gs], [*SHARDS.inputs, *SHARDS.weights]))
            found = np.concatenate(session.run(gradients, feed))
        expected = closed_form(SHARDS, 1.0, 0.0, MOMENTUM)["inputs"]
        assert_close(found, expected, "gradient", "float32", "merged")
        return
    message = "gradient.*inside the function given to `strategy.run`"
    if where == "in the scope":
        with strategy.scope(), pytest.raises(ValueError, match=message):
            tf.gradients(tf.add_n(losses), xs)
    else:
        with pytest.raises(ValueError, match=message):
            tf.gradients(tf.add_n(losses), xs)
