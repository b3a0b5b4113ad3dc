"""What contrib's batch norm promises, against NumPy in float64."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests import forked
from tests.conformance.data import make_input, make_state, make_weights
from tests.conftest import make_session, tensorflow
from tests.tolerances import assert_close

DECAY, EPSILON = 0.75, 0.001
V2, V3, V4 = (7, 5), (6, 3, 5), (4, 3, 2, 5)


def batch_norm(*args: Any, **kwargs: Any) -> Any:
    from tf1_bn.contrib import batch_norm as ours

    return ours(*args, **kwargs)


def moments(x: Any) -> tuple:
    """Mean and population variance by channel, last axis, in float64."""
    rows = np.asarray(x, "float64").reshape(-1, np.shape(x)[-1])
    return rows.mean(0), rows.var(0)


def moved(old: Any, new: Any, decay: float = DECAY) -> Any:
    return np.asarray(old, "float64") * decay + np.asarray(new, "float64") * (1 - decay)


def own_state(session: Any) -> dict:
    """Gives every variable values of its own, and returns them by name."""
    tf, state = tensorflow(), {}
    for v in tf.global_variables():
        state[v.op.name] = make_state(v.op.name, v.shape.as_list())
        session.run(v.initializer, {v.initializer.inputs[1]: state[v.op.name]})
    return state


def values(session: Any) -> dict:
    tf = tensorflow()
    found = tf.global_variables()
    return {v.op.name: value for v, value in zip(found, session.run(found))}


def ops_that_write(graph: Any, outside: str = "/Assign") -> list:
    kinds = ("Assign", "AssignSub", "AssignVariableOp", "AssignSubVariableOp")
    return [
        op.name
        for op in graph.get_operations()
        if op.type in kinds and not op.name.endswith(outside)
    ]


@pytest.mark.parametrize("shape", [V2, V3, V4])
def test_in_place_moves_averages_whenever_the_output_is_had(shape: tuple, session: Any) -> None:
    tf = tensorflow()
    x = make_input(shape, 0, 0)
    y = batch_norm(tf.constant(x, tf.float32), DECAY, updates_collections=None)
    before = own_state(session)
    session.run(y)
    after = values(session)
    mean, variance = moments(x)
    count = x.size // shape[-1]
    if len(shape) in (2, 4):  # the fused kernel takes the sample variance
        variance = variance * count / (count - 1)
    for name, batch in (("moving_mean", mean), ("moving_variance", variance)):
        name = f"BatchNorm/{name}"
        assert_close(after[name], moved(before[name], batch), "state", "float32")
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", [V2, V3, V4])
def test_default_decay_is_rounded_as_in_tf_1_15(shape: tuple, in_place: bool, session: Any) -> None:
    """1 - 0.999 differs in the fifth digit when the subtraction is made in float32, as the layer's
    fused kernel does, and contrib's own code does not."""
    tf = tensorflow()
    arguments: dict = {"updates_collections": None} if in_place else {}
    y = batch_norm(tf.fill(shape, 1000.0), **arguments)
    session.run(tf.global_variables_initializer())
    session.run([y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
    in_float32 = len(shape) == 4 and not in_place
    rate = np.float32(1) - np.float32(0.999) if in_float32 else np.float32(1 - 0.999)
    expected = np.full(shape[-1], 1000 * np.float64(rate))
    assert_close(values(session)["BatchNorm/moving_mean"], expected, "state", "float32")


@pytest.mark.parametrize("shape", [V2, V3, V4])
@pytest.mark.parametrize("resource", [False, True])
def test_in_place_train_op_moves_averages_once_a_step(
    shape: tuple, resource: bool, session: Any
) -> None:
    tf = tensorflow()
    x, phase = make_input(shape, 0, 0), tf.placeholder(tf.bool, [])
    with tf.variable_scope("net", use_resource=resource):
        y = batch_norm(
            tf.constant(x, tf.float32), DECAY, is_training=phase, updates_collections=None
        )
    loss = tf.reduce_sum(tf.square(y) * make_weights(shape, 0))
    train = tf.train.GradientDescentOptimizer(0.125).minimize(loss)
    before = own_state(session)
    session.run([y, loss], {phase: False})
    for name, value in values(session).items():
        np.testing.assert_array_equal(value, before[name].astype("float32"))
    session.run(train, {phase: True})
    expected = moved(before["net/BatchNorm/moving_mean"], moments(x)[0])
    assert_close(values(session)["net/BatchNorm/moving_mean"], expected, "state", "float32")


@pytest.mark.parametrize("shape", [V2, V3])
@pytest.mark.parametrize("resource", [False, True])
def test_in_place_calls_in_a_row_share_a_layer_in_order(
    shape: tuple, resource: bool, session: Any
) -> None:
    """The second call reads the averages after the first has moved them, in every run."""
    tf = tensorflow()
    x = make_input(shape, 0, 0)
    shared = {"decay": DECAY, "updates_collections": None, "scope": "bn", "reuse": tf.AUTO_REUSE}
    with tf.variable_scope("net", use_resource=resource):
        between = tf.square(batch_norm(tf.constant(x, tf.float32), **shared))
        y = batch_norm(between, **shared)
    old = own_state(session)["net/bn/moving_mean"]
    _, second = session.run([y, between])
    expected = moved(moved(old, moments(x)[0]), moments(second)[0])
    assert_close(values(session)["net/bn/moving_mean"], expected, "state", "float32")


def test_in_place_inference_graph_writes_nothing(session: Any) -> None:
    tf = tensorflow()
    batch_norm(
        tf.constant(make_input(V4, 0, 0), tf.float32), is_training=False, updates_collections=None
    )
    assert ops_that_write(session.graph) == []


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", [V2, V3, V4])
def test_zero_debias_is_the_mean_without_the_pull_of_its_first_value(
    shape: tuple, in_place: bool, session: Any
) -> None:
    tf = tensorflow()
    x, phase = tf.placeholder(tf.float32, shape), tf.placeholder(tf.bool, [])
    arguments: dict = {"updates_collections": None} if in_place else {}
    y = batch_norm(x, DECAY, is_training=phase, zero_debias_moving_mean=True, **arguments)
    fetches = [y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
    session.run(tf.global_variables_initializer())
    biased = np.zeros(shape[-1])
    for step in range(3):
        session.run(fetches, {x: make_input(shape, 1, step), phase: False})
        batch = make_input(shape, 0, step)
        session.run(fetches, {x: batch, phase: True})
        biased = moved(biased, moments(batch)[0])
        found = values(session)
        expected = biased / (1 - DECAY ** (step + 1))
        assert_close(found["BatchNorm/moving_mean"], expected, "state", "float32")
        assert found["BatchNorm/BatchNorm/moving_mean/local_step"] == step + 1


@pytest.mark.parametrize("in_place", [False, True])
def test_a_weight_of_two_is_the_row_twice(in_place: bool, session: Any) -> None:
    tf = tensorflow()
    arguments: dict = {"updates_collections": None} if in_place else {}
    rows, counts = make_input(V2, 0, 0), np.array([1, 2, 0, 3, 1, 2, 1])
    x = tf.constant(rows, tf.float32)
    y = batch_norm(x, DECAY, batch_weights=counts, scope="bn", **arguments)
    before = own_state(session)
    output, _ = session.run([y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
    mean, variance = moments(np.repeat(rows, counts, axis=0))
    expected = (rows - mean) / np.sqrt(variance + EPSILON) + before["bn/beta"]
    assert_close(output, expected, "output", "float32")
    after = values(session)
    for name, batch in (("bn/moving_mean", mean), ("bn/moving_variance", variance)):
        assert_close(after[name], moved(before[name], batch), "state", "float32")


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("fed", [False, True])
def test_a_batch_without_weight_is_inference_and_moves_nothing(
    in_place: bool, fed: bool, session: Any
) -> None:
    tf = tensorflow()
    zeros = [0.0] * V2[0]
    arguments: dict = {"updates_collections": None} if in_place else {}
    rows = make_input(V2, 0, 0)
    x = tf.constant(rows, tf.float32)
    weights = tf.placeholder_with_default(zeros, [None]) if fed else zeros
    y = batch_norm(
        x, DECAY, batch_weights=weights, scope="bn", zero_debias_moving_mean=True, **arguments
    )
    gradients = tf.gradients(
        tf.reduce_sum(y * make_weights(V2, 0)), [x, tf.trainable_variables()[0]]
    )
    before = own_state(session)
    output, _, (by_x, by_beta) = session.run(
        [y, tf.get_collection(tf.GraphKeys.UPDATE_OPS), gradients]
    )
    after = values(session)
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name].astype("float32"), err_msg=name)
    factor = 1 / np.sqrt(before["bn/moving_variance"] + EPSILON)
    expected = (rows - before["bn/moving_mean"]) * factor + before["bn/beta"]
    assert_close(output, expected, "output", "float32")
    assert_close(by_x, make_weights(V2, 0) * factor, "gradient", "float32")
    assert_close(by_beta, make_weights(V2, 0).sum(0), "gradient", "float32")


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", [V2, V3, V4])
def test_an_empty_batch_moves_nothing(shape: tuple, in_place: bool, session: Any) -> None:
    tf = tensorflow()
    arguments: dict = {"updates_collections": None} if in_place else {}
    x = tf.placeholder(tf.float32, [None, *shape[1:]])
    y = batch_norm(x, DECAY, zero_debias_moving_mean=True, **arguments)
    before = own_state(session)
    fetches = [y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
    assert session.run(fetches, {x: np.zeros([0, *shape[1:]])})[0].shape == (0, *shape[1:])
    for name, value in values(session).items():
        np.testing.assert_array_equal(value, before[name].astype("float32"), err_msg=name)


def test_half_precision_is_weighted_in_float32(session: Any) -> None:
    tf = tensorflow()
    rows, weights = make_input(V3, 0, 0), np.array([0.5, 2.0, 1.0, 0.25, 3.0, 1.5])
    batch_norm(tf.constant(rows, tf.float16), DECAY, batch_weights=weights, scope="bn")
    before = own_state(session)
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    mean = np.average(rows, axis=0, weights=weights).mean(0)
    assert_close(
        values(session)["bn/moving_mean"], moved(before["bn/moving_mean"], mean), "state", "float32"
    )


@pytest.mark.parametrize("shape", [V2, V4])
def test_minimize_runs_the_updates_of_its_loss_alone(shape: tuple, session: Any) -> None:
    import tf1_bn

    tf = tensorflow()
    losses = []
    for name in ("used", "other"):
        x = tf.placeholder(tf.float32, shape, name=f"x_{name}")
        losses.append(tf.reduce_sum(tf.square(batch_norm(x, DECAY, scope=name)) - 1.0))
    train = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.125), losses[0])
    before = own_state(session)
    batch = make_input(shape, 0, 0)
    session.run(train, {"x_used:0": batch})
    after = values(session)
    expected = moved(before["used/moving_mean"], moments(batch)[0])
    assert_close(after["used/moving_mean"], expected, "state", "float32")
    np.testing.assert_array_equal(
        after["other/moving_mean"], before["other/moving_mean"].astype("float32")
    )


def test_minimize_moves_a_shared_layer_once_for_each_call_in_order(session: Any) -> None:
    import tf1_bn

    tf = tensorflow()
    batches = [make_input(V2, index, 0) for index in range(2)]
    outputs = [
        batch_norm(tf.constant(x, tf.float32), DECAY, scope="bn", reuse=tf.AUTO_REUSE)
        for x in batches
    ]
    loss = tf.add_n([tf.reduce_sum(tf.square(y)) for y in outputs])
    train = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.125), loss)
    old = own_state(session)["bn/moving_mean"]
    session.run(train)
    expected = moved(moved(old, moments(batches[0])[0]), moments(batches[1])[0])
    assert_close(values(session)["bn/moving_mean"], expected, "state", "float32")


@pytest.mark.parametrize("argument", ["param_regularizers", "adjustment"])
def test_says_what_contrib_ignored_in_silence(argument: str) -> None:
    tf = tensorflow()
    given = {
        "param_regularizers": {"beta": tf.nn.l2_loss},
        "adjustment": lambda shape: (tf.ones([5]), tf.zeros([5])),
    }
    x = tf.constant(make_input(V3, 0, 0), tf.float32)
    with pytest.warns(UserWarning, match=f"ignores `{argument}`") as caught:
        batch_norm(x, updates_collections=None, **{argument: given[argument]})
    assert [warning.filename for warning in caught] == [__file__]
    assert tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES) == []


@pytest.mark.parametrize(
    ("shape", "beyond"),
    [
        (V2, {}),
        (V4, {"updates_collections": None}),
        (V4, {"zero_debias_moving_mean": True}),
        (V3, {"batch_weights": np.ones(6, "float32")}),
    ],
)
def test_a_call_that_cannot_merge_refuses_to_inside_of_cross_replica(
    shape: tuple, beyond: Any
) -> None:
    tf = tensorflow()
    inputs = tf.constant(make_input(shape, 0, 0), tf.float32)
    flags = (True, tf.placeholder(tf.bool, []))
    before = len(tf.get_default_graph().get_operations())

    with tf1_bn.cross_replica(lambda statistics: statistics):
        for flag in flags:
            with pytest.raises(ValueError, match=r"call `tf1_bn.batch_normalization` \(got `is_t"):
                batch_norm(inputs, is_training=flag, **beyond)
        assert len(tf.get_default_graph().get_operations()) == before
        assert tf.global_variables() == []
        batch_norm(inputs, is_training=False, **beyond)
    assert len(tf.global_variables()) >= 3


def test_a_collection_may_be_given_by_its_name_alone() -> None:
    tf = tensorflow()
    x = tf.constant(make_input(V4, 0, 0), tf.float32)
    batch_norm(x, variables_collections={"beta": "my_betas"}, scope="bn")
    assert [v.op.name for v in tf.get_collection("my_betas")] == ["bn/beta"]


def test_training_graph_restores_into_inference_graph(tmp_path: Any) -> None:
    tf = tensorflow()
    x, found = make_input(V2, 0, 0), {}
    for training in (True, False):
        with tf.Graph().as_default() as graph, make_session(graph) as session:
            y = batch_norm(
                tf.constant(x, tf.float32),
                0.0,
                scale=True,
                is_training=training,
                updates_collections=None,
            )
            saver = tf.train.Saver()
            if training:
                own_state(session)
                found[True] = session.run(y)
                saver.save(session, str(tmp_path / "model"), write_meta_graph=False)
            else:
                saver.restore(session, str(tmp_path / "model"))
                found[False] = session.run(y)
                beta = values(session)["BatchNorm/beta"]
    # With decay 0 the averages are the batch's, but for N - 1 in place of N in the variance.
    population, sample = moments(x)[1], moments(x)[1] * V2[0] / (V2[0] - 1)
    ratio = np.sqrt((population + EPSILON) / (sample + EPSILON))
    assert_close(found[False] - beta, (found[True] - beta) * ratio, "output", "float32")


def shown_by_eager_program(source: str) -> str:
    """What a program prints that leaves eager execution on, which this process cannot."""
    ended = forked.python("-c", textwrap.dedent(source), cwd=forked.ROOT)
    assert ended.code == 0, ended.err
    return ended.out


@pytest.mark.slow
@pytest.mark.tf_min("2.0", reason="TF 1.15 starts without eager execution")
def test_eager_execution_is_refused_with_the_way_out() -> None:
    message = shown_by_eager_program(
        """
        import tensorflow as tf
        from tf1_bn.contrib import batch_norm
        try:
            batch_norm(tf.ones([7, 5]))
        except ValueError as error:
            print(error)
        """
    )
    assert message.startswith("tf1_bn.contrib.batch_norm builds graph")
    assert "tf.Graph().as_default()" in message


@pytest.mark.slow
@pytest.mark.tf_min("2.0", reason="TF 1.15 starts without eager execution")
def test_in_a_wrapped_function_of_an_eager_program() -> None:
    """In place is the form that needs no session: a call in training moves the averages."""
    shapes, batches = [V2, V3, V4], [make_input(shape, 0, 0) for shape in (V2, V3, V4)]
    shown = shown_by_eager_program(
        f"""
        import json
        import tensorflow as tf
        from tf1_bn.contrib import batch_norm

        def net(x, phase):
            return batch_norm(x, {DECAY}, is_training=phase, updates_collections=None,
                              zero_debias_moving_mean=True)

        for batch in {[batch.tolist() for batch in batches]}:
            x = tf.constant(batch)
            signature = [tf.TensorSpec(x.shape), tf.TensorSpec([], tf.bool)]
            wrapped = tf.compat.v1.wrap_function(net, signature)
            mean = [v for v in wrapped.variables if v.name == "BatchNorm/moving_mean:0"][0]
            for phase in (False, True):
                wrapped(x, tf.constant(phase))
                print(json.dumps(mean.numpy().tolist()))
        """
    )
    seen = [json.loads(line) for line in shown.splitlines()]
    assert len(seen) == 2 * len(shapes)
    for shape, batch, before, after in zip(shapes, batches, seen[::2], seen[1::2]):
        assert before == [0.0] * shape[-1]
        assert_close(after, moments(batch)[0], "state", "float32")


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("phase", [True, None])
@pytest.mark.parametrize("shape", [V2, V3])
def test_collected_updates_are_tensors_whose_op_moves_the_averages(
    shape: tuple, phase: Any, resource: bool, session: Any
) -> None:
    """TF 1.15.5 collects tensors where contrib's own code normalizes; programs ask for `.op`."""
    tf = tensorflow()
    phase = tf.placeholder_with_default(True, []) if phase is None else phase
    x = make_input(shape, 0, 0)
    with tf.variable_scope("net", use_resource=resource):
        y = batch_norm(tf.constant(x, tf.float32), DECAY, False, is_training=phase,
                       updates_collections="mine")  # fmt: skip
    collected = tf.get_collection("mine")
    before = own_state(session)
    session.run([y, [tensor.op for tensor in collected]])
    after = values(session)

    assert all(tf.is_tensor(tensor) for tensor in collected) and len(collected) == 2
    mean = moved(before["net/BatchNorm/moving_mean"], moments(x)[0])
    assert_close(after["net/BatchNorm/moving_mean"], mean, "state", "float32")
    assert (after["net/BatchNorm/moving_variance"] != before["net/BatchNorm/moving_variance"]).all()
    # A second run moves them on, and the tensors hold what is there then.
    shown = session.run(collected)
    assert_close(shown[0], moved(mean, moments(x)[0]), "state", "float32")


@pytest.mark.parametrize("resource", [False, True])
def test_collected_tensors_belong_to_their_loss(resource: bool) -> None:
    tf = tensorflow()
    with tf.variable_scope("net", use_resource=resource):
        losses = [
            tf.reduce_sum(batch_norm(tf.placeholder(tf.float32, V2), scope=name)) for name in "ab"
        ]
    for loss, name in zip(losses, "ab"):
        found = tf1_bn.update_ops_for(loss)
        assert [op.name.split("/")[1] for op in found] == [name, name]


BAD = [
    ({}, (4, 3, None), ValueError, "Input has undefined `axis` dimension"),
    ({"data_format": "NCHW"}, (5,), ValueError, "the channel axis of `data_format` must lie in"),
    ({"decay": "0.9"}, V3, TypeError, "`decay` must be a number"),
    ({"renorm": True, "renorm_decay": "`name` must be"}, V3, TypeError, "(got '`name` must be')"),
    ({"is_training": 2}, V3, TypeError, "`is_training` must be True"),
    ({"scope": 3}, V3, TypeError, "`scope` must be None"),
    ({"param_initializers": {"beta": "no"}}, V3, ValueError, "`param_initializers['beta']` must"),
    ({"param_regularizers": {"gamma": 3}}, V3, ValueError, "`param_regularizers['gamma']` must"),
]


@pytest.mark.parametrize(("arguments", "shape", "error", "says"), BAD)
def test_errors_speak_of_contribs_arguments_and_keep_tf1s_phrases(
    arguments: dict, shape: tuple, error: type, says: str
) -> None:
    tf = tensorflow()
    with pytest.raises(error) as raised:
        batch_norm(tf.placeholder(tf.float32, shape), **arguments)
    assert says in str(raised.value)
