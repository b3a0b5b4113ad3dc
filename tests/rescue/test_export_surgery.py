"""A training graph made one of inference, layers folded: its numbers are those of the session."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tests.rescue.export_models import MODELS, normalizer, with_values
from tf1_bn._src.discovery.layers import find
from tf1_bn._src.discovery.reading.nodes import shape_of
from tf1_bn._src.rescue.export.live import values_of
from tf1_bn._src.rescue.folding.folding import Folded, folded
from tf1_bn._src.rescue.surgery.baked import place_of
from tf1_bn._src.rescue.surgery.flags import Setting
from tf1_bn._src.rescue.surgery.freezing import frozen, variables_of
from tf1_bn._src.rescue.surgery.net import as_graph_def
from tf1_bn._src.rescue.surgery.operation import prepared
from tf1_bn._src.rescue.trial.formula import by_formula
from tf1_bn._src.runtime.tensorflow_v1 import tf


def operated(session: Any, outputs: list, **how: Any) -> Folded:
    """The session's graph in inference, frozen and folded."""
    places = [(each.op.name, each.value_index) for each in outputs]
    ready = prepared(session.graph.as_graph_def(add_shapes=True), places, **how)
    values = values_of(session, variables_of(ready.net))
    return folded(frozen(ready.net, values, ready.outputs), ready.outputs)


def answers(done: Folded, outputs: list, feed: dict) -> list:
    """What the new graph says, in a session of its own."""
    with tf.Graph().as_default() as graph, make_session(graph) as session:
        tf.import_graph_def(as_graph_def(done.net), name="")
        return session.run([each.name for each in outputs], {k.name: feed[k] for k in feed})


def phases(done: Folded) -> set:
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(as_graph_def(done.net), name="")
        return {call.phase for layer in find(graph).layers for call in layer.calls}


def data_for(tensor: Any, rows: int = 3) -> Any:
    shape = [size or rows for size in tensor.shape.as_list()]
    return np.random.RandomState(1).normal(0.5, 2.0, shape).astype(np.float32)


def _contrib(data: Any, training: Any, name: str, **arguments: Any) -> Any:
    from tensorflow.contrib.layers import batch_norm

    return batch_norm(data, is_training=training, scope=name, scale=True, **arguments)


LAYERS = {
    "tf1_bn": tf1_bn.batch_normalization,
    "tf.layers": lambda *args, **how: tf.layers.batch_normalization(*args, **how),
    "contrib": _contrib,
}
LIBRARIES = [
    "tf1_bn",
    pytest.param("tf.layers", marks=pytest.mark.tf_max("2.15", reason="Keras 3 took it away")),
    pytest.param("contrib", marks=pytest.mark.tf_max("1.15", reason="it came with TF 1 alone")),
]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", MODELS)
def test_each_kind_of_net_is_folded_whole(name: str, library: str) -> None:
    training = tf.placeholder(tf.bool, [], name="training")
    model = MODELS[name](normalizer(LAYERS[library], training), training)
    with make_session() as session:
        with_values(session)
        feed = {model.inputs: data_for(model.inputs)}
        expected = session.run(model.outputs, {**feed, training: False})
        before = session.graph.as_graph_def()
        done = operated(session, [model.outputs])
        assert session.graph.as_graph_def() == before
    assert done.kept == () and len(done.done) == len(find(session.graph).layers)
    assert phases(done) == {"folded"}
    ops = {node.op for node in done.net.nodes.values()}
    assert not ops & {"Rsqrt", "FusedBatchNormV3", "If", "Merge", "Switch", "VarHandleOp"}
    (found,) = answers(done, [model.outputs], feed)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def _placeholder() -> tuple:
    flag = tf.placeholder(tf.bool, [], name="flag")
    return flag, {flag: False}


def _with_default() -> tuple:
    return tf.placeholder_with_default(True, [], name="flag"), {"flag:0": False}


def _number() -> tuple:
    flag = tf.placeholder(tf.int32, [], name="flag")
    return tf.cast(flag, tf.bool), {flag: 0}


def _mode() -> tuple:
    flag = tf.placeholder(tf.int32, [], name="flag")
    return tf.equal(flag, 0), {flag: 1}


def _reversed() -> tuple:
    flag = tf.placeholder(tf.bool, [], name="flag")
    return tf.logical_not(flag), {flag: True}


def _variable() -> tuple:
    flag = tf.get_variable("flag", initializer=True, trainable=False)
    return flag.read_value(), None


FLAGS = {each.__name__: each for each in (_placeholder, _with_default, _number, _mode)}
FLAGS.update({each.__name__: each for each in (_reversed, _variable)})


@pytest.mark.parametrize("name", FLAGS)
def test_whatever_decides_is_set_and_dropout_follows(name: str) -> None:
    flag, inference = FLAGS[name]()
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    net = tf1_bn.batch_normalization(data, training=flag)
    net = tf.cond(flag, lambda: tf.nn.dropout(net, rate=0.5), lambda: net)
    output = tf.identity(net, name="output")
    with make_session() as session:
        with_values(session)
        done = operated(session, [output])
        feed = {data: data_for(data)}
        if inference is None:
            session.run(tf.assign(tf.global_variables()[0], False))
        expected = session.run(output, {**feed, **(inference or {})})
    assert not any("andom" in node.op for node in done.net.nodes.values())
    sources = [name for name, node in done.net.nodes.items() if node.op.startswith("Placeholder")]
    assert sources == ["data"]
    np.testing.assert_allclose(answers(done, [output], feed)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "shape, arguments",
    [
        ([None, 3, 3, 4], {}),
        ([None, 4], {}),
        ([None, 4, 3], {"axis": 1}),
        ([None, 4], {"renorm": True}),
    ],
)
@pytest.mark.parametrize("mode", ["collect", "in_place"])
def test_a_layer_of_training_alone_gets_its_moving_statistics(
    shape: list, arguments: dict, mode: str
) -> None:
    data = tf.placeholder(tf.float32, shape, name="data")
    with tf1_bn.updates(mode):
        output = tf.tanh(tf1_bn.batch_normalization(data, training=True, name="bn", **arguments))
    tested = tf1_bn.batch_normalization(data, training=False, name="bn", reuse=True, **arguments)
    tested = tf.tanh(tested)
    with make_session() as session:
        with_values(session)
        feed = {data: data_for(data)}
        expected = session.run(tested, feed)
        with pytest.raises(ValueError, match="bn: built with training=True for good"):
            operated(session, [output])
        done = operated(session, [output], every_layer=True)
    np.testing.assert_allclose(answers(done, [output], feed)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape, axis", [([None, 3, 3, 4], -1), ([None, 4, 3], 1)])
def test_a_rewritten_layer_is_held_against_its_formula(shape: list, axis: int) -> None:
    data = tf.placeholder(tf.float32, shape, name="data")
    output = tf1_bn.batch_normalization(data, axis, training=True, name="bn")
    places = [(output.op.name, 0)]
    with make_session() as session:
        with_values(session)
        ready = prepared(session.graph.as_graph_def(add_shapes=True), places, every_layer=True)
        values = values_of(session, variables_of(ready.net))
        graph_def = as_graph_def(frozen(ready.net, values, ready.outputs))
    feed = {"data:0": data_for(data)}
    assert by_formula(graph_def, ready.rewritten, values, feed) < 1e-5
    values["bn/moving_mean"] = values["bn/moving_mean"] + 0.01
    with pytest.raises(ValueError, match="bn differs by .* by the formula of inference"):
        by_formula(graph_def, ready.rewritten, values, feed)


def _same_border(data: Any, normal: Any) -> Any:
    return tf.nn.conv2d(normal, tf.ones([3, 3, 2, 2]), [1, 1, 1, 1], "SAME")


def _valid(data: Any, normal: Any) -> Any:
    return tf.nn.conv2d(normal, tf.ones([3, 3, 2, 2]), [1, 2, 2, 1], "VALID")


def _depthwise(data: Any, normal: Any) -> Any:
    weights = np.random.RandomState(0).normal(size=[2, 2, 2, 3]).astype(np.float32)
    return tf.nn.depthwise_conv2d(normal, tf.constant(weights), [1, 1, 1, 1], "VALID")


def _flattened(data: Any, normal: Any) -> Any:
    weights = np.random.RandomState(0).normal(size=[32, 3]).astype(np.float32)
    return tf.matmul(tf.reshape(normal, [-1, 32]), tf.constant(weights))


def _transposed(data: Any, normal: Any) -> Any:
    sizes = tf.stack([tf.shape(data)[0], 8, 8, 3])
    return tf.nn.conv2d_transpose(normal, tf.ones([3, 3, 3, 2]), sizes, [1, 2, 2, 1], "SAME")


def _bordered(data: Any, normal: Any) -> Any:
    border = [[0, 0], [1, 1], [1, 1], [0, 0]]
    return tf.nn.conv2d(normal, tf.ones([1, 1, 2, 2]), [1, 1, 1, 1], border)


def _used_twice(data: Any, normal: Any) -> Any:
    return tf.reduce_sum(_valid(data, normal), 3) + tf.reduce_sum(normal)


def _read_between(data: Any, normal: Any) -> Any:
    return _valid(data, tf.nn.relu(normal))


AFTER: list[tuple[Callable[..., Any], bool, str]] = [
    (_valid, True, ""),
    (_depthwise, True, ""),
    (_flattened, True, ""),
    (_same_border, False, "pads with zeros"),
    (_bordered, False, "pads with zeros"),
    (_transposed, False, "pads with zeros"),
    (_used_twice, False, "not linear"),
    (_read_between, False, "not linear"),
]


@pytest.mark.parametrize("build, folds, why", AFTER)
@pytest.mark.parametrize("center", [True, False])
def test_what_stands_behind_takes_the_layer_where_that_is_exact(
    build: Callable[..., Any], folds: bool, why: str, center: bool
) -> None:
    data = tf.placeholder(tf.float32, [None, 4, 4, 2], name="data")
    normal = tf1_bn.batch_normalization(tf.nn.relu(data), training=False, center=center, name="bn")
    output = tf.identity(build(data, normal), name="output")
    with make_session() as session:
        with_values(session)
        if not center:
            # Without an offset at all a border of zeros stays one.
            session.run(tf.assign(tf.global_variables("bn/moving_mean")[0], [0.0, 0.0]))
        feed = {data: data_for(data)}
        expected = session.run(output, feed)
        done = operated(session, [output])
    exact = folds or (not center and why == "pads with zeros")
    assert [name for name, _ in done.done] == (["bn"] if exact else [])
    assert exact or why in done.kept[0][1]
    np.testing.assert_allclose(answers(done, [output], feed)[0], expected, rtol=1e-5, atol=1e-4)


def test_a_product_in_a_loop_and_factors_that_no_number_holds_stay() -> None:
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    layer = tf1_bn.BatchNormalization(name="bn", epsilon=0.0)
    layer.build(data.shape)
    kernel = tf.get_variable("kernel", [4, 4])
    output = tf.while_loop(
        lambda step, net: step < 2,
        lambda step, net: (step + 1, layer(tf.matmul(net, kernel), training=False)),
        [0, data],
    )[1]
    output = tf.identity(output, name="output")
    tiny = tf1_bn.batch_normalization(
        tf.matmul(data, kernel + 0.0), training=False, epsilon=1e-30, name="tiny"
    )
    tiny = tf.identity(tiny, name="out")
    with make_session() as session:
        with_values(session)
        held = {each.op.name: each for each in tf.global_variables()}
        held["tiny/gamma"].load(np.full(4, 1e30, np.float32), session)
        held["tiny/moving_variance"].load(np.zeros(4, np.float32), session)
        feed = {data: data_for(data)}
        expected = session.run(output, feed)
        done = operated(session, [output, tiny])
    assert done.done == ()
    assert {name: why.split(" ", 1)[1] for name, why in done.kept if name == "bn"} == {
        "bn": "stands in a loop"
    } or tf.executing_eagerly()
    assert any("too large for float32" in why for _, why in done.kept)
    np.testing.assert_allclose(answers(done, [output], feed)[0], expected, rtol=1e-5, atol=1e-5)


def test_a_convolution_that_others_read_or_share_is_left_alone() -> None:
    data = tf.placeholder(tf.float32, [None, 4, 4, 2], name="data")
    kernel = tf.get_variable("kernel", [3, 3, 2, 2])
    first, second = (tf.nn.conv2d(each, kernel, [1, 1, 1, 1], "SAME") for each in (data, -data))
    other = tf.nn.conv2d(data, tf.get_variable("other", [1, 1, 2, 2]), [1, 1, 1, 1], "SAME")
    normals = [
        tf1_bn.batch_normalization(each, training=False, name=f"bn{place}")
        for place, each in enumerate([first, second, other])
    ]
    outputs = [tf.identity(tf.add_n([*normals, other]), name="sum"), normals[1]]
    with make_session() as session:
        with_values(session)
        feed = {data: data_for(data)}
        expected = session.run(outputs, feed)
        done = operated(session, outputs)
    assert done.done == ()
    assert [(name, why.split(" ", 1)[1]) for name, why in done.kept] == [
        ("bn0", "shares its weights"),
        ("bn1", "shares its weights"),
        ("bn2", "is also used without it"),
    ]
    for found, wanted in zip(answers(done, outputs, feed), expected):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_an_output_that_is_the_layer_itself_keeps_its_name() -> None:
    data = tf.placeholder(tf.float32, [None, 4, 4, 2], name="data")
    training = tf.placeholder(tf.bool, [], name="training")
    net = tf.nn.conv2d(data, tf.get_variable("kernel", [3, 3, 2, 5]), [1, 1, 1, 1], "SAME")
    output = tf1_bn.batch_normalization(net, training=training)
    with make_session() as session:
        with_values(session)
        feed = {data: data_for(data)}
        expected = session.run(output, {**feed, training: False})
        done = operated(session, [output])
    assert len(done.done) == 1
    np.testing.assert_allclose(answers(done, [output], feed)[0], expected, rtol=1e-5, atol=1e-5)


def test_a_conditional_that_the_phase_does_not_decide_stays_whole() -> None:
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    training = tf.placeholder(tf.bool, [], name="training")
    net = tf1_bn.batch_normalization(data, training=training)
    output = tf.cond(tf.reduce_sum(data) > 0, lambda: tf.constant(2.0) * net, lambda: -net)
    output = tf.while_loop(lambda x: tf.reduce_max(x) < 9.0, lambda x: x + 1.0, [output])
    output = tf.identity(output, name="output")
    with make_session() as session:
        with_values(session)
        done = operated(session, [output])
        for sign in (1, -1):
            feed = {data: sign * np.abs(data_for(data))}
            expected = session.run(output, {**feed, training: False})
            found = answers(done, [output], feed)[0]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_setting_takes_the_place_of_what_is_fed() -> None:
    data = tf.placeholder(tf.float32, [None, 4], name="data")
    keep = tf.placeholder(tf.float32, [], name="keep")
    training = tf.placeholder(tf.bool, [], name="training")
    output = tf1_bn.batch_normalization(data, training=training) * keep
    with make_session() as session:
        with_values(session)
        done = operated(session, [output], asked=[Setting(("keep", 0), 0.5)])
        feed = {data: data_for(data)}
        expected = session.run(output, {**feed, training: False, keep: 0.5})
    np.testing.assert_allclose(answers(done, [output], feed)[0], expected, rtol=1e-6)


# Of graphs that TF 1.15.5 made: how many layers end up in a convolution, and which were rewritten.
RECORDED = {
    "by_hand": (0, ()),
    "contrib_in_place": (0, ("BatchNorm",)),
    "fused_phase": (1, ()),
    "fused_train": (1, ("bn",)),
    "ghosts": (1, ("bn",)),
    "keras": (0, ()),
    "renorm": (1, ("bn",)),
    "renorm_phase": (1, ()),
    "resource_phase_unfused": (1, ()),
    "slim_block": (2, ()),
    "v2_unfused": (1, ()),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_graph_ends_up_without_batch_statistics(name: str) -> None:
    file = Path(__file__).parents[1] / "discovery" / "data" / f"{name}.pb.gz"
    graph_def = tf.GraphDef.FromString(gzip.decompress(file.read_bytes()))
    calls = [call for layer in find(graph_def).layers for call in layer.calls]
    ready = prepared(graph_def, [place_of(each.output) for each in calls], every_layer=True)
    view, random = ready.net.view(), np.random.RandomState(0)
    shapes = {each: shape_of(view, (each, 0)) for each in variables_of(ready.net)}
    values = {each: random.rand(*shape).astype(np.float32) for each, shape in shapes.items()}
    done = folded(frozen(ready.net, values, ready.outputs), ready.outputs)
    assert (len(done.done), ready.forced) == RECORDED[name]
    assert phases(done) <= {"folded", "inference"}
