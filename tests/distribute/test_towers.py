"""`run_towers` builds towers in step: scopes, order, devices, failures, a cluster."""

from __future__ import annotations

import _thread
import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.distribute.cluster_support import held_port
from tests.distribute.replica_support import EPSILON, closed_form, make_shards, named, tf
from tests.reference import normalized
from tests.tolerances import assert_close


def _layer(inputs: Any, name: str = "bn", **arguments: Any) -> Any:
    return tf1_bn.batch_normalization(inputs, training=True, momentum=0.5, name=name, **arguments)


def _inputs(count: int = 2) -> list:
    return [tf.placeholder(tf.float32, [None, 3]) for _ in range(count)]


def _threads() -> list:
    return [thread for thread in threading.enumerate() if thread.name.startswith("tower_")]


def _update_names() -> list:
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    return [op.name.replace("/AssignSubVariableOp", "") for op in updates]


def test_towers_are_what_a_loop_of_tf1_builds() -> None:
    """Without merging, threads or not makes no difference: same ops, same order, same devices."""

    def model(x: Any) -> Any:
        hidden = _layer(x, "bn0")
        with tf.variable_scope("inner"):
            kernel = tf.get_variable("kernel", [3, 2])
        return _layer(tf.matmul(hidden, kernel), "bn1")

    found = []
    for loop in (False, True):
        with tf.Graph().as_default() as graph, tf.variable_scope("net"):
            xs = _inputs()
            devices = ["/cpu:0", "/cpu:1"]
            if loop:
                for k, x in enumerate(xs):
                    scope = tf.get_variable_scope()
                    with tf.name_scope(f"tower_{k}"), tf.device(devices[k]), tf.variable_scope(
                        scope, reuse=k > 0, auxiliary_name_scope=False
                    ):
                        model(x)
            else:
                tf1_bn.run_towers(model, xs, devices)
            made = [(op.name, op.type, op.device) for op in graph.get_operations()]
            # What is returned is passed on, for tapes to be refused; a loop returns nothing here.
            found.append([each for each in made if not each[0].startswith("net/tower_result")])

    assert found[0] == found[1]
    assert any(name.startswith("net/tower_1/bn1") for name, _, _ in found[0])


def test_update_ops_are_in_the_scopes_of_their_towers() -> None:
    tf1_bn.run_towers(_layer, _inputs())
    alone = ["tower_0/bn/AssignMovingAvg", "tower_0/bn/AssignMovingAvg_1"]
    assert _update_names() == alone + [name.replace("0", "1", 1) for name in alone]
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope="tower_0/")) == 2


def test_a_merged_layer_has_one_pair_of_update_ops() -> None:
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(_layer, _inputs(3))

    expected = ["tower_0/bn/AssignMovingAvg", "tower_0/bn/AssignMovingAvg_1"]
    assert _update_names() == expected
    # Whichever tower a loss is made of.
    for y in ys:
        assert len(tf1_bn.update_ops_for(tf.reduce_sum(y))) == 2
    assert len(tf.global_variables()) == 4


@pytest.mark.parametrize("towers", ["all", "first", "averaged"])
def test_every_policy_updates_a_merged_layer_once(towers: str, session: Any) -> None:
    shards = make_shards([4, 2], [3])
    xs = _inputs()
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(_layer, xs)
    loss = tf.add_n([tf.reduce_sum(y) for y in ys])
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss, towers=towers)
    session.run(tf.global_variables_initializer())

    session.run(step, dict(zip(xs, shards.inputs)))

    found = session.run(named("bn/moving_mean"))
    assert_close(found, 0.5 * shards.whole.mean(0), "state", "float32", "merged")


def test_two_layers_meet_twice_and_scopes_may_be_opened_inside(session: Any) -> None:
    shards = make_shards([5, 2, 3], [3])

    def model(x: Any) -> Any:
        with tf1_bn.cross_replica():
            hidden = _layer(x, "bn0")
        with tf1_bn.cross_replica():
            return _layer(hidden * hidden, "bn1")

    xs = _inputs(3)
    ys = tf1_bn.run_towers(model, xs)
    session.run(tf.global_variables_initializer())
    found = session.run(ys, dict(zip(xs, shards.inputs)))

    x = shards.whole
    for value in (lambda x: x, np.square):
        x = normalized(value(x), EPSILON)
    assert_close(np.concatenate(found), x, "output", "float32", "merged")


def test_the_graph_is_the_same_every_time() -> None:
    def build() -> Any:
        with tf.Graph().as_default() as graph, tf1_bn.cross_replica():
            xs = _inputs(3)
            tf1_bn.run_towers(lambda x: _layer(_layer(x, "a"), "b"), xs)
            return graph.as_graph_def()

    first = build()
    assert all(build() == first for _ in range(3))


def test_inputs_as_tuples_and_results_in_order() -> None:
    found = tf1_bn.run_towers(lambda a, b: (b, a), [(1, 2), (3, 4)], name="half")
    assert found == [(2, 1), (4, 3)]
    assert tf1_bn.run_towers(lambda a: a, [[5, 6]]) == [[5, 6]]


def test_what_is_open_around_the_call_holds_inside() -> None:
    def model(x: Any) -> Any:
        return tf.get_variable("w", [1]), tf.identity(x, name="mark")

    with tf.name_scope("outer"), tf.variable_scope("net", use_resource=True), tf.device("/cpu:3"):
        inputs = [tf.constant(1), tf.constant(2)]
        (first, _), (second, mark) = tf1_bn.run_towers(model, inputs, [None, "/cpu:2"])
        within = tf.constant(3, name="within")
    after = tf.constant(3, name="after")

    assert first is second and first.op.name == "net/w"
    assert first.dtype == first.dtype.base_dtype  # a resource variable
    assert mark.op.name == "outer/net/tower_1/mark"
    # A device is what `devices` says, on every TensorFlow, and not one from around the call.
    assert first.device == "" and mark.op.device == "/device:CPU:2"
    assert within.op.device == "/device:CPU:3"
    assert after.op.name == "after" and after.op.device == ""


SKIPS = {
    "the second tower skips the first layer": (["a", "b"], ["b"]),
    "the first tower skips the first layer": (["b"], ["a", "b"]),
    "the second tower ends early": (["a", "b"], ["a"]),
    "the first tower ends early": ([], ["a"]),
    "another order": (["a", "b"], ["b", "a"]),
    "a layer once more": (["a", "a"], ["a"]),
}


@pytest.mark.parametrize("case", SKIPS)
def test_a_tower_that_skips_a_layer_is_named(case: str) -> None:
    """Neither a deadlock nor statistics of a part: those of both are wanted, or none."""

    def model(x: Any, layers: Any) -> Any:
        for name in layers:
            with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
                x = _layer(x, name)
        return x

    arguments = list(zip(_inputs(), SKIPS[case]))
    with tf1_bn.cross_replica(), pytest.raises(
        ValueError, match=r"same order.*tower_0 .*tower_1 (is at the layer 'net|has ended)"
    ):
        tf1_bn.run_towers(model, arguments)

    assert _threads() == []
    # Nothing is left open: a layer alone is not merged, and stands where it should.
    y = _layer(tf.zeros([2, 3]), "after")
    assert y.op.name.startswith("after/")


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize(
    "error", [KeyError("broken"), KeyboardInterrupt()], ids=["error", "Ctrl-C"]
)
def test_a_failing_tower_ends_all(failing: int, error: BaseException) -> None:
    left = []

    def model(x: Any, number: int) -> Any:
        try:
            y = _layer(x)
            if number == failing:
                raise error
            return _layer(y, "more")
        finally:
            left.append(number)

    with tf1_bn.cross_replica(), pytest.raises(type(error)) as caught:
        tf1_bn.run_towers(model, list(zip(_inputs(3), range(3))))

    assert caught.value is error
    assert sorted(left) == [0, 1, 2]
    assert _threads() == []
    assert tf.get_default_graph().get_name_scope() == ""
    assert tf.get_variable_scope().name == ""


def test_a_model_that_catches_exceptions_is_ended_all_the_same() -> None:
    def model(x: Any, number: int) -> Any:
        try:
            y = _layer(x)
        except Exception:
            y = x
        if number == 1:
            raise RuntimeError("second")
        return y

    with tf1_bn.cross_replica(), pytest.raises(RuntimeError, match="second"):
        tf1_bn.run_towers(model, list(zip(_inputs(), range(2))))
    assert _threads() == []


def test_ctrl_c_ends_all_towers() -> None:
    """It reaches the main thread, which waits for the tower that runs."""
    left = []

    def model(x: Any, number: int) -> Any:
        try:
            y = _layer(x)
            _thread.interrupt_main()
            return y
        finally:
            left.append(number)

    # A process in the background is started with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with tf1_bn.cross_replica(), pytest.raises(KeyboardInterrupt):
            tf1_bn.run_towers(model, list(zip(_inputs(), range(2))))
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(left) == [0, 1]
    assert _threads() == []


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="`tower_inputs`"):
        tf1_bn.run_towers(_layer, [])
    with pytest.raises(ValueError, match="`devices`.*2 towers"):
        tf1_bn.run_towers(_layer, _inputs(), ["/cpu:0"])


CLUSTER_WORKER = """
import sys
import tensorflow.compat.v1 as tf
cluster = tf.train.ClusterSpec({"worker": sys.argv[1:]})
config = tf.ConfigProto(device_count={"GPU": 0})
tf.train.Server(cluster, job_name="worker", task_index=1, config=config)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cluster() -> Any:
    """A session target: this process is worker 0, a process of its own worker 1."""
    held = [held_port() for _ in range(2)]
    addresses = [f"localhost:{port.getsockname()[1]}" for port in held]
    spec = tf.train.ClusterSpec({"worker": addresses})
    config = tf.ConfigProto(device_count={"GPU": 0})
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER_WORKER, *addresses],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            server = tf.train.Server(spec, job_name="worker", task_index=0, config=config)
            yield server.target
        finally:
            process.kill()
            for port in held:
                port.close()


def test_towers_in_two_processes_are_one_batch(cluster: str) -> None:
    """In-graph replication over a cluster: the moments are computed where the data is."""
    shards = make_shards([5, 3], [3])
    expected = closed_form(shards, 1.0, 0.0, 0.5)
    xs, gs = _inputs(), _inputs()
    devices = [f"/job:worker/task:{task}" for task in range(2)]
    with tf1_bn.cross_replica():
        ys = tf1_bn.run_towers(_layer, xs, devices)
    loss = tf.add_n([tf.reduce_sum(y * g) for y, g in zip(ys, gs)])
    gradients = tf.gradients(loss, [*xs, named("bn/gamma")])
    step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.0), loss)
    metadata = tf.RunMetadata()
    with tf.Session(cluster) as session:
        session.run(tf.global_variables_initializer())
        feed = dict(zip([*xs, *gs], [*shards.inputs, *shards.weights]))
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        found, (*of_inputs, of_gamma) = session.run(
            [ys, gradients], feed, options=options, run_metadata=metadata
        )
        session.run(step, feed)
        moving_variance = session.run(named("bn/moving_variance"))

    used = {stats.device for stats in metadata.step_stats.dev_stats if stats.node_stats}
    assert {f"task:{task}" for task in range(2)} <= {
        part for device in used for part in device.split("/")
    }
    output = np.concatenate(found)
    assert_close(output, expected["outputs"], "output", "float32", "merged")
    of_inputs = np.concatenate(of_inputs)
    assert_close(of_inputs, expected["inputs"], "gradient", "float32", "merged")
    assert_close(of_gamma, expected["gamma"], "gradient", "float32", "merged")
    assert_close(moving_variance, expected["moving_variance"], "state", "float32", "merged")
