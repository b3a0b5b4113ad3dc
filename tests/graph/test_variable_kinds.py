"""Every kind of variable that `get_variable` can give, trained one step beside the original."""

from __future__ import annotations

from typing import Any, Callable, Iterator, NamedTuple

import numpy as np
import pytest

import tf1_bn
from tests.conftest import V2_MODE, make_session
from tests.graph.support import distinct, set_distinct_state, tf
from tests.reference import Norm, slopes, train
from tests.tolerances import assert_close

EPSILON, MOMENTUM, RATE = 1e-3, 0.9, 0.25
ROWS, CHANNELS = 7, 5


class Staged:
    """A variable behind a wrapper that can be read and subtracted from, and has no name."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.dtype, self.shape = real.dtype, real.shape

    def read_value(self) -> Any:
        return self.real.read_value()

    def assign_sub(self, delta: Any, name: Any = None, read_value: bool = True) -> Any:
        return self.real.assign_sub(delta, name=name)


def _as_tensor(staged: Staged, dtype: Any = None, name: Any = None, as_ref: bool = False) -> Any:
    is_ref = staged.dtype != staged.dtype.base_dtype
    return staged.real.op.outputs[0] if as_ref and is_ref else tf.convert_to_tensor(staged.real)


tf.register_tensor_conversion_function(Staged, _as_tensor)


def staging(getter: Any, *args: Any, **kwargs: Any) -> Any:
    return Staged(getter(*args, **kwargs))


def _copying(getter: Any, *args: Any, **kwargs: Any) -> Any:
    variable = getter(*args, **kwargs)
    return tf.identity(variable) if kwargs["trainable"] else variable


def _ref_tensors(getter: Any, *args: Any, **kwargs: Any) -> Any:
    return getter(*args, **kwargs).op.outputs[0]


def _to_resource(next_creator: Any, **kwargs: Any) -> Any:
    return next_creator(**{**kwargs, "use_resource": True})


class Kind(NamedTuple):
    """The variable scope that gives this kind, and a creator of variables around it."""

    scope: dict
    creator: Any = None
    splits: bool = False


KINDS = {
    "ref": Kind({"use_resource": False}),
    "resource": Kind({"use_resource": True}),
    "partitioned refs": Kind(
        {"use_resource": False, "partitioner": tf.fixed_size_partitioner(2)}, splits=True
    ),
    "partitioned resources": Kind(
        {"use_resource": True, "partitioner": tf.fixed_size_partitioner(3)}, splits=True
    ),
    "cached refs": Kind({"use_resource": False, "caching_device": "/cpu:0"}),
    "cached resources": Kind({"use_resource": True, "caching_device": lambda op: "/cpu:0"}),
    "staged refs": Kind({"use_resource": False, "custom_getter": staging}),
    "staged resources": Kind({"use_resource": True, "custom_getter": staging}),
    "tensors of gamma and beta": Kind({"custom_getter": _copying}),
    "ref tensors": Kind({"use_resource": False, "custom_getter": _ref_tensors}),
    "resources by a creator": Kind({"use_resource": False}, creator=_to_resource),
}


def _layer(x: Any, layers: Any, **arguments: Any) -> Any:
    return layers.batch_normalization(
        x, training=True, name="bn", momentum=MOMENTUM, fused=False, **arguments
    )


def _contrib(x: Any, layers: Any, **arguments: Any) -> Any:
    return layers.batch_norm(x, scope="bn", decay=MOMENTUM, scale=True, fused=False, **arguments)


class Step(NamedTuple):
    """What a step gives: the outputs before it, and the variables after it by their last name."""

    output: Any
    state: dict


def _step(kind: Kind, build: Callable[[Any], Any]) -> Step:
    """One step of gradient descent on the mean of y * weights, and of all updates."""
    with tf.Graph().as_default() as graph:
        x = tf.constant(distinct(ROWS, CHANNELS))
        weights = tf.constant(distinct(ROWS, CHANNELS, seed=3))
        with tf.variable_creator_scope(kind.creator or _plain), tf.variable_scope(
            "s", **kind.scope
        ):
            y = build(x)
        loss = tf.reduce_sum(y * weights)
        train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
        updates = [getattr(up, "op", up) for up in graph.get_collection(tf.GraphKeys.UPDATE_OPS)]
        assert len(updates) == 2
        with make_session() as session:
            set_distinct_state(session)
            with tf.control_dependencies([y]):
                done = tf.group(train, *updates)
            output = session.run([y, done])[0]
            state = session.run({v.op.name: v for v in tf.global_variables()})
    return Step(output, _joined(state))


def _plain(next_creator: Any, **kwargs: Any) -> Any:
    return next_creator(**kwargs)


def _joined(state: dict) -> dict:
    """The parts of a partitioned variable put together, by the last name."""
    joined: dict = {}
    for name in sorted(state):
        whole = name.partition("/part_")[0].rpartition("/")[2]
        joined.setdefault(whole, []).append(np.atleast_1d(state[name]))
    return {name: np.concatenate(parts) for name, parts in joined.items()}


def _start(kind: Kind, build: Callable[[Any], Any]) -> dict:
    """The state that `set_distinct_state` gives, in float64."""
    with tf.Graph().as_default():
        x = tf.constant(distinct(ROWS, CHANNELS))
        with tf.variable_creator_scope(kind.creator or _plain), tf.variable_scope(
            "s", **kind.scope
        ):
            build(x)
        with make_session() as session:
            return {
                name: value.astype("float64")
                for name, value in _joined(set_distinct_state(session)).items()
            }


def _reference(start: dict, debias: bool = False) -> Step:
    """The same step in float64."""
    x = distinct(ROWS, CHANNELS).astype("float64")
    weights = distinct(ROWS, CHANNELS, seed=3).astype("float64")
    renorm, kept = "renorm_mean" in start, MOMENTUM
    norm = Norm(kept=kept, epsilon=EPSILON, renorm=renorm, renorm_kept=0.99)
    outputs, state, _ = train(norm, x, start)
    if debias:
        state["biased"] = kept * start["biased"] + (1 - kept) * x.mean(0)
        state["local_step"] = start["local_step"] + 1
        state["moving_mean"] = state["biased"] / (1 - kept ** state["local_step"])
    by = slopes(norm, x, start, weights, training=True)
    state["gamma"] = start["gamma"] - RATE * by.gamma
    state["beta"] = start["beta"] - RATE * by.beta
    return Step(outputs, state)


def _assert_equal(found: Step, expected: Step) -> None:
    assert_close(found.output, expected.output, "output", "float32")
    assert found.state.keys() == expected.state.keys()
    for name, value in expected.state.items():
        assert_close(found.state[name], value, "state", "float32")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("renorm", [False, True], ids=["plain", "renorm"])
def test_a_step_of_the_layer(kind: str, renorm: bool) -> None:
    def build(x: Any) -> Any:
        return _layer(x, tf1_bn, renorm=renorm)

    found = _step(KINDS[kind], build)

    _assert_equal(found, _reference(_start(KINDS[kind], build)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("debias", [False, True], ids=["plain", "zero_debias"])
def test_a_step_of_contrib(kind: str, debias: bool) -> None:
    def build(x: Any) -> Any:
        return _contrib(x, tf1_bn.contrib, zero_debias_moving_mean=debias)

    found = _step(KINDS[kind], build)

    _assert_equal(found, _reference(_start(KINDS[kind], build), debias))


# What TF 1.15.5's own layer cannot do: it reads what the wrapped `assign_sub` gives.
NOT_IN_THE_ORIGINAL = {("staged resources", True), ("staged refs", True)}


@pytest.mark.tf_max("2.15.1", reason="newer TensorFlows have no tf.layers")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("renorm", [False, True], ids=["plain", "renorm"])
def test_the_original_makes_the_same_step(kind: str, renorm: bool) -> None:
    if (kind, renorm) in NOT_IN_THE_ORIGINAL:
        pytest.skip("the original fails with renorm and a wrapper that only subtracts")

    found = _step(KINDS[kind], lambda x: _layer(x, tf1_bn, renorm=renorm))
    expected = _step(KINDS[kind], lambda x: _layer(x, tf.layers, renorm=renorm))

    _assert_equal(found, expected)


def _places(layers: Any, use_resource: bool) -> dict:
    """The devices of variables and update ops of two layers on three parameter servers."""
    cluster = tf.train.ClusterSpec({"ps": ["a:1", "b:1", "c:1"], "worker": ["d:1"]})
    setter = tf.train.replica_device_setter(cluster=cluster, worker_device="/job:worker/task:0")
    with tf.Graph().as_default() as graph:
        with tf.device(setter), tf.variable_scope("s", use_resource=use_resource):
            x = tf.placeholder(tf.float32, [None, CHANNELS])
            for name in ("one", "two"):
                layers.batch_normalization(x, training=True, renorm=True, name=name)
        operations = graph.get_operations()
    kinds = ("VariableV2", "VarHandleOp", "AssignSub", "AssignSubVariableOp")
    return {op.name: (op.device, op.colocation_groups()) for op in operations if op.type in kinds}


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_renorm_lies_with_the_statistics_on_parameter_servers(use_resource: bool) -> None:
    places = _places(tf1_bn, use_resource)

    # Seven variables, but only the first four of each layer take their turns.
    for layer, first in (("one", 0), ("two", 1)):
        tasks = {
            name: int(places[f"s/{layer}/{name}"][0][-1])
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        }
        assert list(tasks.values()) == [(first + turn) % 3 for turn in range(4)]
        for name, beside in (
            ("moving_stddev", "moving_variance"),
            ("renorm_mean", "moving_mean"),
            ("renorm_stddev", "moving_variance"),
        ):
            assert int(places[f"s/{layer}/{name}"][0][-1]) == tasks[beside]
            assert places[f"s/{layer}/{name}"][1] == [f"loc:@s/{layer}/{beside}".encode()]


@pytest.mark.tf_max("2.15.1", reason="newer TensorFlows have no tf.layers")
@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_the_original_lies_in_the_same_places(use_resource: bool) -> None:
    assert _places(tf1_bn, use_resource) == _places(tf.layers, use_resource)


def test_a_partitioned_scope_shares_what_it_has_and_makes_the_rest() -> None:
    x = tf.placeholder(tf.float32, [None, CHANNELS])
    with tf.variable_scope("s", partitioner=tf.fixed_size_partitioner(2)):
        for scale in (False, True, True):
            tf1_bn.batch_normalization(x, name="bn", scale=scale, reuse=tf.AUTO_REUSE)

    names = [variable.op.name for variable in tf.global_variables()]
    statistics = ["s/bn/moving_mean", "s/bn/moving_variance"]
    gamma = ["s/bn/gamma/part_0", "s/bn/gamma/part_1"]
    assert names == ["s/bn/beta/part_0", "s/bn/beta/part_1", *statistics, *gamma]


def test_tensors_cannot_be_debiased_in_words() -> None:
    def reading(getter: Any, *args: Any, **kwargs: Any) -> Any:
        return tf.identity(getter(*args, **kwargs))

    x = tf.placeholder(tf.float32, [None, CHANNELS])
    refused = pytest.raises(TypeError, match="moving statistic must be a variable")
    with tf.variable_scope("s", custom_getter=reading), refused:
        tf1_bn.contrib.batch_norm(x, zero_debias_moving_mean=True)
    assert tf.global_variables() == []


@pytest.fixture
def v2_conditionals() -> Iterator[None]:
    tf.enable_control_flow_v2()
    yield
    if not V2_MODE:
        tf.disable_control_flow_v2()


def _in_branch(layer: Callable[[], Any]) -> Any:
    return tf.cond(tf.placeholder_with_default(True, []), layer, lambda: tf.zeros([ROWS, CHANNELS]))


@pytest.mark.usefixtures("v2_conditionals")
def test_ref_variables_in_a_branch_say_what_to_use() -> None:
    x = tf.constant(distinct(ROWS, CHANNELS))
    with tf.variable_scope("s", use_resource=False):
        layer = tf1_bn.BatchNormalization(name="bn")
        layer(x)
        before = tf.global_variables()
        for call in (
            lambda: layer(x, training=True),
            lambda: tf1_bn.batch_normalization(x, training=True, name="bn", reuse=True),
            lambda: tf1_bn.contrib.batch_norm(x, scope="bn", reuse=True),
        ):
            with pytest.raises(TypeError, match="use_resource=True"):
                _in_branch(call)
        inference = _in_branch(lambda: layer(x, training=False))

    assert tf.global_variables() == before
    assert inference.shape.as_list() == [ROWS, CHANNELS]


@pytest.mark.usefixtures("v2_conditionals")
def test_a_frozen_layer_in_a_branch_has_no_update_ops() -> None:
    x = tf.constant(distinct(ROWS, CHANNELS))
    with tf.variable_scope("s", use_resource=False):
        layer = tf1_bn.BatchNormalization(name="bn", trainable=False)
        layer(x)
        y = _in_branch(lambda: layer(x, training=True))

    library = tf.get_default_graph().as_graph_def().library
    assert not [n.op for f in library.function for n in f.node_def if "Assign" in n.op]
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        found = session.run(y)
    data = distinct(ROWS, CHANNELS).astype("float64")
    expected = (data - data.mean(0)) / np.sqrt(data.var(0) + EPSILON)
    assert_close(found, expected, "output", "float32")
