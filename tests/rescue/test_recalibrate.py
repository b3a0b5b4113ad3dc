"""`tf1_bn.recalibrate` against NumPy in float64, for layers of every library, and what goes wrong.

The recorded graphs are those of tests/discovery, made by TensorFlow 1.15.5.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tf1_bn._src.rescue.averages.result import Recalibration
from tf1_bn._src.runtime.tensorflow_v1 import tf
from tf1_bn.repair import repair_graph_def

RECORDED = Path(__file__).parents[1] / "discovery" / "data"


def digits(count: int, channels: int = 3) -> np.ndarray:
    """Images whose classes lie far apart, sorted by class."""
    random = np.random.RandomState(0)
    images = random.normal(0.0, 1.0, [count, 4, 4, channels])
    centers = np.repeat([-4.0, 0.0, 5.0], count // 3)[:, None, None, None]
    return (images * [1.0, 2.0, 0.5] + centers + [10.0, 0.0, -3.0]).astype(np.float32)


def recorded(name: str) -> Any:
    """A graph of TF 1.15.5 in a session, its variables at random."""
    content = gzip.decompress((RECORDED / f"{name}.pb.gz").read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(repair_graph_def(tf.GraphDef.FromString(content)), name="")
    session = make_session(graph)
    begin = [op for op in graph.get_operations() if op.type in ("Assign", "AssignVariableOp")]
    session.run([op for op in begin if "/cond" not in op.name and "move_" not in op.name])
    return session


# Of recorded graphs: what feeds the layers, the graph's variance, and the input to compare with.
LAYERS = {
    "fused_phase": ("images:0", 1, "conv/Conv2D:0"),
    "fused_train": ("images:0", 1, "conv/Conv2D:0"),
    "fused_inference": ("images:0", 1, "conv/Conv2D:0"),
    "unfused_phase": ("images:0", 0, "conv/Conv2D:0"),
    "unfused_train": ("images:0", 0, "conv/Conv2D:0"),
    "resource_train": ("images:0", 1, "conv/Conv2D:0"),
    "resource_phase_unfused": ("images:0", 0, "conv/Conv2D:0"),
    "v2_fused": ("images:0", 1, "conv/Conv2D:0"),
    "v2_unfused": ("images:0", 0, "conv/Conv2D:0"),
    "renorm_phase": ("images:0", 0, "conv/Conv2D:0"),
    "first_axis": ("images:0", 0, "conv/Conv2D:0"),
    "ghosts": ("images:0", 0, "conv/Conv2D:0"),
    "contrib_fused": ("images:0", 1, "images:0"),
    "contrib_unfused": ("images:0", 0, "images:0"),
    "contrib_in_place": ("images:0", 1, "images:0"),
    "keras": ("images:0", 1, "images:0"),
    "by_hand": ("images:0", 0, "images:0"),
    "divided": ("rows:0", 0, "rows:0"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_population_of_a_layer_recorded_from_tensorflow_1(name: str) -> None:
    source, ddof, place = LAYERS[name]
    images = digits(96)
    values = images if source == "images:0" else images[:, 0, 0, :]
    with recorded(name) as session:
        # Class by class, and the last batch smaller.
        feeds = [{source: values[start : start + 20]} for start in range(0, 96, 20)]
        axes = (0, 2, 3) if name == "first_axis" else None
        inputs = np.asarray(session.run(place, {source: values}), np.float64)
        axes = axes or tuple(range(inputs.ndim - 1))
        (layer,) = tf1_bn.recalibrate(session, feeds, progress=False).layers
        expected = inputs.mean(axes), inputs.var(axes, ddof=ddof)
        assert layer.variance == ("sample" if ddof else "population")
        for found, right in zip(layer.after, expected):
            np.testing.assert_allclose(found.ravel(), right, rtol=2e-6, atol=2e-6)
        assert layer.values == inputs.size // inputs.shape[1 if name == "first_axis" else -1]


def test_layers_by_hand_in_the_scope_of_the_model() -> None:
    """Their variables are told apart by numbers alone."""
    rows = tf.placeholder(tf.float32, [None, 3], name="rows")
    net, data = rows, digits(96)[:, 0, 0, :]
    inputs = []
    with tf.name_scope("model"):
        for _ in range(2):
            ones, zeros = tf.ones([3]), tf.zeros([3])
            gamma, beta = tf.Variable(ones), tf.Variable(zeros)
            mean, variance = (tf.Variable(each, trainable=False) for each in (zeros, ones))
            inputs.append(net)
            net = tf.exp(tf.nn.batch_normalization(net, mean, variance, beta, gamma, 1e-3))
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        done = tf1_bn.recalibrate(session, [{rows: data}], progress=False)
        assert [each.name for each in done.layers] == ["model/Variable_2", "model/Variable_6"]
        for layer, place in zip(done.layers, inputs):
            wide = session.run(place, {rows: data}).astype(np.float64)
            np.testing.assert_allclose(layer.after.mean, wide.mean(0), rtol=1e-5)
            np.testing.assert_allclose(layer.after.variance, wide.var(0), rtol=1e-5)


def test_what_renorm_keeps_beside_the_two() -> None:
    images = digits(96)
    with recorded("renorm_phase") as session:
        inputs = session.run("conv/Conv2D:0", {"images:0": images}).astype(np.float64)
        tf1_bn.recalibrate(session, [{"images:0": images}], progress=False)
        mean, deviation = inputs.mean((0, 1, 2)), np.sqrt(inputs.var((0, 1, 2)) + 1e-3)
        for variable, right in (
            ("bn/renorm_mean", mean),
            ("bn/renorm_stddev", deviation),
            ("bn/moving_stddev", deviation),
        ):
            np.testing.assert_allclose(session.run(f"{variable}:0"), right, rtol=1e-5)


# -- a network -----------------------------------------------------------------------------------


class Network:
    """Two layers, one behind the other, and a third one beside them."""

    def __init__(self, training: Any = None) -> None:
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(3)
            self._build(training)
            self.session = make_session(graph)
            self.session.run(tf.global_variables_initializer())

    def _build(self, training: Any) -> None:
        self.rows = tf.placeholder(tf.float32, [None, 3], name="rows")
        self.phase = tf.placeholder(tf.bool, [], name="phase")
        how = {"training": self.phase if training is None else training}
        hidden = tf1_bn.batch_normalization(self.rows, name="first", **how)
        kernel = tf.get_variable("kernel", [3, 4], initializer=tf.random_normal_initializer(seed=5))
        self.middle = tf.matmul(tf.nn.relu(hidden), kernel)
        self.second = tf1_bn.batch_normalization(self.middle, name="second", **how)
        self.beside = tf1_bn.batch_normalization(self.rows**2, name="beside", **how)

    def values(self) -> dict[str, np.ndarray]:
        variables = self.session.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
        return dict(zip((v.op.name for v in variables), self.session.run(variables)))

    def feeds(self, size: int = 16) -> list[dict[Any, Any]]:
        return [{self.rows: rows} for rows in np.split(self.data(), 96 // size)]

    def data(self) -> np.ndarray:
        return digits(96)[:, 0, 0, :]


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    with made.session:
        yield made


def test_a_layer_is_measured_as_inference_will_see_it(network: Network) -> None:
    done = tf1_bn.recalibrate(network.session, network.feeds(), progress=False)
    assert [layer.name for layer in done.layers] == ["first", "second", "beside"]
    feed = {network.rows: network.data(), network.phase: False}
    # With the new statistics all inputs are normalized to mean 0 and variance 1.
    for outputs in (network.second, network.beside):
        found = np.asarray(network.session.run(outputs, feed), np.float64)
        np.testing.assert_allclose(found.mean(0), 0.0, atol=1e-5)
        np.testing.assert_allclose(found.var(0), 1.0, rtol=3e-3)


def test_one_pass_measures_what_training_sees(network: Network) -> None:
    inputs = [
        network.session.run(network.middle, {**feed, network.phase: True})
        for feed in network.feeds(8)
    ]
    right = np.concatenate(inputs).astype(np.float64)
    feeds = (feed for feed in network.feeds(8))
    done = tf1_bn.recalibrate(network.session, feeds, method="one_pass", progress=False)
    np.testing.assert_allclose(done.layers[1].after.mean, right.mean(0), rtol=1e-5)
    np.testing.assert_allclose(done.layers[1].after.variance, right.var(0), rtol=1e-5)
    # Of classes one after the other that is far from what inference sees.
    other = tf1_bn.recalibrate(network.session, network.feeds(8), progress=False)
    assert np.abs(done.layers[1].after.variance / other.layers[1].after.variance - 1).max() > 0.2


def test_nothing_is_added_to_the_graph_and_weights_stay(network: Network) -> None:
    before, ops = network.values(), len(tf.get_default_graph().get_operations())
    tf.get_default_graph().finalize()
    done = tf1_bn.recalibrate(network.session, network.feeds(), progress=False)
    assert len(tf.get_default_graph().get_operations()) == ops
    after = {v: network.session.run(f"{v}:0") for v in ("kernel", "first/gamma", "first/beta")}
    for name, value in after.items():
        np.testing.assert_array_equal(value, before[name])
    for layer in done.layers:
        held = network.session.run(
            [f"{layer.name}/moving_{kind}:0" for kind in ("mean", "variance")]
        )
        for now, told in zip(held, layer.after):
            np.testing.assert_array_equal(now, told)
        np.testing.assert_array_equal(before[f"{layer.name}/moving_mean"], layer.before.mean)


def test_the_phase_of_a_feed_dict_is_passed_over(network: Network) -> None:
    plain = tf1_bn.recalibrate(network.session, network.feeds(), progress=False)
    for key in (network.phase, "phase:0"):
        feeds = [{**feed, key: True} for feed in network.feeds()]
        done = tf1_bn.recalibrate(network.session, feeds, progress=False)
        np.testing.assert_array_equal(done.layers[1].after.mean, plain.layers[1].after.mean)


def test_only_what_the_outputs_need(network: Network) -> None:
    before = network.values()
    done = tf1_bn.recalibrate(network.session, network.feeds(), network.beside, progress=False)
    assert [layer.name for layer in done.layers] == ["beside"]
    done = tf1_bn.recalibrate(network.session, network.feeds(), layers=["first"], progress=False)
    assert [layer.name for layer in done.layers] == ["first"]
    np.testing.assert_array_equal(
        network.values()["second/moving_mean"], before["second/moving_mean"]
    )


def test_it_stops_when_the_standard_error_is_small_enough(network: Network) -> None:
    random = np.random.RandomState(7)
    feeds = [{network.rows: random.normal(size=[50, 3])} for _ in range(60)]
    done = tf1_bn.recalibrate(network.session, feeds, standard_error=0.1, progress=False)
    assert all(8 <= layer.batches < 60 and layer.error <= 0.1 for layer in done.layers)
    done = tf1_bn.recalibrate(network.session, feeds, standard_error=1e-9, progress=False)
    assert {layer.batches for layer in done.layers} == {60}


def test_an_input_pipeline_is_run_so_many_times() -> None:
    values = np.arange(24, dtype=np.float32).reshape(12, 2) ** 2
    data = tf.data.Dataset.from_tensor_slices(values).batch(3)
    rows = tf.data.make_one_shot_iterator(data.repeat(2)).get_next()
    tf1_bn.batch_normalization(rows, training=False, name="bn")
    with make_session(tf.get_default_graph()) as session:
        session.run(tf.global_variables_initializer())
        (layer,) = tf1_bn.recalibrate(session, 4, progress=False).layers
        np.testing.assert_allclose(layer.after.variance, values.var(0), rtol=1e-6)
        with pytest.raises(ValueError, match="batch 5: the input pipeline has no more"):
            tf1_bn.recalibrate(session, 5, progress=False)


def test_counters_of_updates_in_place_stay() -> None:
    """The run in training that shows the convention moves them, too."""
    rows = tf.placeholder(tf.float32, [None, 3], name="rows")
    tf1_bn.contrib.batch_norm(
        rows, is_training=True, updates_collections=None, zero_debias_moving_mean=True
    )
    with make_session(tf.get_default_graph()) as session:
        session.run(tf.global_variables_initializer())
        ours = ("BatchNorm/moving_mean:0", "BatchNorm/moving_variance:0")
        others = [v for v in tf.global_variables() if v.name not in ours]
        assert len(others) == 3
        before = session.run(others)
        feeds = [{rows: digits(96)[:, 0, 0, :]}]
        done = tf1_bn.recalibrate(session, feeds, method="one_pass", progress=False)
        for variable, old, new in zip(others, before, session.run(others)):
            np.testing.assert_array_equal(new, old, err_msg=variable.name)
        np.testing.assert_array_equal(session.run(ours[0]), done.layers[0].after.mean)


def test_towers_and_two_axes_of_channels() -> None:
    data = digits(96)
    with recorded("towers") as session:
        parts = {f"tower_{n}/rows:0": data[n * 32 : n * 32 + 40, 0, 0] for n in (0, 1)}
        (layer,) = tf1_bn.recalibrate(session, [parts], progress=False).layers
        together = np.concatenate(list(parts.values())).astype(np.float64)
        np.testing.assert_allclose(layer.after.variance, together.var(0), rtol=1e-6)
    images = tf.placeholder(tf.float64, [None, 4, 4, 3])
    tf1_bn.batch_normalization(images, axis=[1, 3], training=True)
    with make_session(tf.get_default_graph()) as session:
        session.run(tf.global_variables_initializer())
        (layer,) = tf1_bn.recalibrate(session, [{images: data}], progress=False).layers
        np.testing.assert_allclose(
            layer.after.variance, data.astype(np.float64).var((0, 2), keepdims=True), rtol=1e-12
        )


# -- what leaves the variables as they were ------------------------------------------------------


class Interrupted:
    """A session that is interrupted at its nth run, before or behind it."""

    def __init__(self, session: Any, at: int, behind: bool) -> None:
        self.session, self.graph, self.left, self.behind = session, session.graph, at, behind

    def run(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.behind:
            raise KeyboardInterrupt
        found = self.session.run(*args, **kwargs)
        if self.left == 0:
            raise KeyboardInterrupt
        return found


@pytest.mark.parametrize("behind", [False, True])
def test_ctrl_c_at_any_run_leaves_the_variables_as_they_were(behind: bool) -> None:
    with tf1_bn.updates("in_place"):
        network = Network()
    with network.session:
        before = network.values()
        for at in range(1, 100):
            session = Interrupted(network.session, at, behind)
            try:
                tf1_bn.recalibrate(session, network.feeds(32), progress=False)
            except KeyboardInterrupt:
                after = network.values()
                for name, value in before.items():
                    np.testing.assert_array_equal(after[name], value, err_msg=f"{name} at {at}")
            else:
                break
        assert 8 < at < 99


def broken_feeds(network: Network, kind: str) -> Any:
    first, second, third = network.feeds(32)
    if kind == "not finite":
        second[network.rows][3, 1] = np.nan
    elif kind == "other shape":
        second = {network.rows: np.zeros([4, 5])}
    elif kind == "nothing fed":
        second = {}
    elif kind == "no dict":
        second = [1, 2]
    elif kind == "raises":
        return lambda: (feed if feed is not second else 1 // 0 for feed in (first, second))
    elif kind == "none":
        return []
    elif kind == "no values":
        return [{network.rows: np.zeros([0, 3])}]
    return [first, second, third]


@pytest.mark.parametrize(
    "kind, error, told",
    [
        ("not finite", ValueError, r"batch 2: the input of first is not finite"),
        ("other shape", ValueError, r"batch 2: Cannot feed value of shape"),
        ("nothing fed", ValueError, r"batch 2: You must feed a value for placeholder"),
        ("no dict", TypeError, r"batch 2 must be a feed dict \(got list\)"),
        ("raises", ZeroDivisionError, "division"),
        ("none", ValueError, "there are no batches with values for first, beside"),
        ("no values", ValueError, "there are no batches with values for first, beside"),
    ],
)
def test_a_bad_batch_leaves_the_variables_as_they_were(
    network: Network, kind: str, error: type, told: str
) -> None:
    before = network.values()
    with pytest.raises(error, match=told) as raised:
        tf1_bn.recalibrate(network.session, broken_feeds(network, kind), progress=False)
    assert "\n" not in str(raised.value)
    for name, value in network.values().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize(
    "arguments, error, told",
    [
        ({"batches": 0}, ValueError, "`batches` must be at least 1"),
        ({"batches": True}, TypeError, "`batches` must be a list of feed dicts"),
        ({"batches": {"rows:0": 1}}, TypeError, "`batches` must be a list of feed dicts"),
        ({"batches": iter([])}, ValueError, "`batches` is an iterator, .* 2 are needed"),
        ({"method": "both"}, ValueError, "`method` must be one of"),
        ({"standard_error": 0}, ValueError, "`standard_error` must be above 0"),
        ({"layers": ["third"]}, ValueError, r"`layers` must be names of \['first'"),
        ({"outputs": "rows"}, ValueError, "no batch normalization with moving statistics among"),
        ({"outputs": "nothing"}, ValueError, "`outputs` must be ops or tensors"),
        ({"session": 3}, TypeError, "`session` must be a tf.Session"),
    ],
)
def test_a_wrong_argument(network: Network, arguments: Any, error: type, told: str) -> None:
    given = {"session": network.session, "batches": network.feeds(), **arguments}
    with pytest.raises(error, match=told):
        tf1_bn.recalibrate(**given)


def test_graphs_that_have_nothing_to_measure() -> None:
    tf.placeholder(tf.float32, [None], name="rows")
    with make_session(tf.get_default_graph()) as session, pytest.raises(
        ValueError, match="the graph has no batch normalization"
    ):
        tf1_bn.recalibrate(session, [])
    with recorded("frozen_training") as session, pytest.raises(
        ValueError, match="bn: its parameters are constants"
    ):
        tf1_bn.recalibrate(session, [])
    network = Network(training=False)
    with network.session as session, pytest.raises(
        ValueError, match="always in inference, so method='one_pass'"
    ):
        tf1_bn.recalibrate(session, [], method="one_pass")
    with make_session(network.session.graph) as session, pytest.raises(
        ValueError, match="initialize or restore the variables first"
    ):
        tf1_bn.recalibrate(session, network.feeds())


def test_a_layer_behind_itself_has_no_order() -> None:
    rows = tf.placeholder(tf.float32, [None, 3], name="rows")
    layer = tf1_bn.BatchNormalization(name="bn")
    layer(tf.exp(layer(rows, training=True)), training=True)
    outputs = layer(tf.exp(layer(rows)))
    with make_session(tf.get_default_graph()) as session:
        session.run(tf.global_variables_initializer())
        with pytest.raises(ValueError, match="the input of bn depends on an earlier call"):
            tf1_bn.recalibrate(session, [], outputs)


def test_the_table_fits_a_terminal(network: Network) -> None:
    done = tf1_bn.recalibrate(network.session, network.feeds(), progress=False)
    lines = str(done).splitlines()
    assert lines[0] == "3 layers from 6 batches" and len(lines) == 8
    assert lines[2].split() == ["first", "before", "0", "to", "0", "1", "to", "1"]
    far = done.layers[0]._replace(name="a/name/as/long/as/some/old/networks/have/them/" * 2)
    told = str(Recalibration((far,), ("bn: it is frozen",), "one_pass", ("bn",)))
    assert max(len(line) for line in told.splitlines() if line != far.name) <= 80
    assert far.name in told and "left as it is: bn: it is frozen" in told
