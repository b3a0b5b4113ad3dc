"""What two workers that write one layer's statistics at the same time can be promised: counted."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session, tensorflow
from tests.distribute.cluster_support import (
    DEVIATIONS,
    KINDS,
    MEANS,
    STATISTICS,
    Cluster,
    cluster,
    until,
)

STEPS = 150
WORKERS = 2
# float64 sums of a few hundred changes of order 10: measured up to 3e-14.
SUM_OF_CHANGES = 1e-11
# The change of one step that would be missed: measured 0.02 and more.
SMALLEST_CHANGE = 1e-4


def train_together(running: Cluster, **limits: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Both workers train at the same time; returns what the ps holds and their reports."""
    running.start("ps")
    workers = [running.start("worker", task) for task in range(WORKERS)]
    for worker in workers:
        worker.ask("open")
    for worker in workers:
        worker.tell("run", **limits)
    reports = [worker.answer() for worker in workers]
    return workers[0].ask("read"), reports


def initial(name: str) -> float:
    return 0.0 if name.endswith("moving_mean") else 1.0


def assert_sum_of_changes(values: dict[str, Any], reports: list[dict[str, Any]]) -> None:
    """What is left is what was there less every change that a worker computed, each once."""
    for name in STATISTICS:
        taken = np.sum([report["taken"][name] for report in reports], axis=0)
        expected = initial(name) - taken
        assert np.abs(values["statistics"][name] - expected).max() < SUM_OF_CHANGES, name


@pytest.fixture(scope="module")
def asynchronous(tmp_path_factory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with cluster(tmp_path_factory.mktemp("asynchronous")) as running:
        return train_together(running, steps=STEPS)


def test_every_update_is_counted(asynchronous):
    values, reports = asynchronous
    assert [report["steps"] for report in reports] == [STEPS, STEPS]
    assert values["updates"] == [STEPS, STEPS]
    assert values["global_step"] == WORKERS * STEPS


def test_every_change_arrives_once(asynchronous):
    values, reports = asynchronous
    assert min(report["smallest_change"] for report in reports) > SMALLEST_CHANGE
    assert_sum_of_changes(values, reports)


def test_statistics_stay_near_the_batches(asynchronous):
    """A change computed from an old value overshoots by at most q/(1-q) of all that was seen."""
    values, reports = asynchronous
    q = WORKERS * (1.0 - 0.9)
    for name, value in values["statistics"].items():
        kind = "means" if name.endswith("moving_mean") else "variances"
        low = np.min([report[kind][0] for report in reports], axis=0)
        high = np.max([report[kind][1] for report in reports], axis=0)
        low, high = np.minimum(low, initial(name)), np.maximum(high, initial(name))
        room = (high - low) * q / (1.0 - q)
        assert np.all(low - room <= value) and np.all(value <= high + room), name


def test_equal_batches_arrive_no_later_than_the_closed_form(tmp_path):
    """(1 - rate)**n is for updates one after the other; at the same time they go further."""
    rate = 0.001
    with cluster(tmp_path, constant=True, momentum=1.0 - rate) as running:
        values, reports = train_together(running, steps=STEPS)
    assert values["updates"] == [STEPS, STEPS]
    assert_sum_of_changes(values, reports)
    one_by_one = (1.0 - rate) ** (WORKERS * STEPS)
    for kind in KINDS:
        for name, target in (("moving_mean", MEANS), ("moving_variance", np.square(DEVIATIONS))):
            start = initial(name)
            moves = np.asarray(target) != start
            distance = np.asarray(target) - values["statistics"][f"{kind}/bn/{name}"]
            left = distance[moves] / (np.asarray(target) - start)[moves]
            # The rate is rounded to float32 on its way, as TF1 does: 6e-8 of 0.3.
            assert np.all(left <= one_by_one + 1e-7), name
            assert np.all(left >= -WORKERS * rate), name


@pytest.mark.parametrize("kind", KINDS)
def test_two_updates_from_one_reading_add_up(kind):
    """The race in slow motion: 1 - 2 * rate is left, one after the other (1 - rate)**2."""
    tf = tensorflow()
    with tf.variable_scope("", use_resource=kind == "resource"):
        x = tf.placeholder(tf.float64, [None, 3])
        tf1_bn.batch_normalization(x, momentum=0.75, training=True, name="bn")
    (mean,) = tf.global_variables("bn/moving_mean")
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    (update,) = [op for op in updates if op.inputs[0].op.name == mean.op.name]
    change = update.inputs[1]
    batch = [[4.0, 8.0, -12.0], [0.0, 8.0, 4.0]]
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        # Both workers read before either writes.
        changes = [session.run(change, {x: batch}) for _ in range(WORKERS)]
        for value in changes:
            session.run(update, {change: value})
        np.testing.assert_array_equal(session.run(mean), [1.0, 4.0, -2.0])
        session.run(mean.initializer)
        for _ in range(WORKERS):
            session.run(update, {x: batch})
        np.testing.assert_array_equal(session.run(mean), [0.875, 3.5, -1.75])


def test_an_old_change_can_make_a_variance_negative():
    """The limit of what is promised: a worker that stood still writes what it once computed."""
    tf = tensorflow()
    x = tf.placeholder(tf.float64, [None, 3])
    tf1_bn.batch_normalization(x, momentum=0.75, training=True, name="bn")
    (variance,) = tf.global_variables("bn/moving_variance")
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    (update,) = [op for op in updates if op.inputs[0].op.name == variance.op.name]
    change = update.inputs[1]
    equal_rows = {x: [[4.0, 8.0, -12.0]] * 2}  # their variance is 0
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        old = session.run(change, equal_rows)
        for _ in range(8):
            session.run(update, equal_rows)
        np.testing.assert_array_equal(session.run(variance), [0.75**8] * 3)
        session.run(update, {change: old})
        np.testing.assert_array_equal(session.run(variance), [0.75**8 - 0.25] * 3)


@pytest.mark.parametrize("workers, rate", [(2, 0.01), (2, 0.1), (3, 0.25), (5, 0.15)])
def test_the_bound_holds_for_every_order(workers, rate):
    """Workers that read and write in any order, some far too late, over batch moments 0 and 1."""
    random = np.random.RandomState(workers)
    q = workers * rate
    lowest, highest = 0.0, 1.0
    for _ in range(40):
        value = float(random.randint(2))
        under_way = [rate * (value - float(random.randint(2))) for _ in range(workers)]
        for _ in range(40):
            # One moment and one worker at a time for a while, so that the others' changes get old.
            moment, worker = float(random.randint(2)), random.randint(workers)
            for _ in range(random.randint(1, int(4 / rate))):
                value -= under_way[worker]
                under_way[worker] = rate * (value - moment)
                lowest, highest = min(lowest, value), max(highest, value)
    assert lowest >= -q / (1.0 - q) - 1e-12 and highest <= 1.0 + q / (1.0 - q) + 1e-12
    # The orders tried are bad enough to leave the range.
    assert lowest < -rate / 10.0 and highest > 1.0 + rate / 10.0


def test_a_ref_variable_is_locked_while_it_is_updated():
    """The kernels of resource variables always lock; those of ref variables when they are told."""
    tf = tensorflow()
    with tf.variable_scope("", use_resource=False):
        x = tf.placeholder(tf.float32, [None, 3])
        tf1_bn.batch_normalization(x, training=True)
        tf1_bn.batch_normalization(x, training=True, renorm=True)
    updates = [
        op
        for op in tf.get_default_graph().get_operations()
        if op.type in ("AssignSub", "Assign") and "AssignMovingAvg" in op.name
    ]
    assert len(updates) >= 6
    assert [op.name for op in updates if not op.get_attr("use_locking")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_updates_run_beside_their_variable(kind):
    """With two parameter servers each update is on the server that holds the variable."""
    tf = tensorflow()
    spec = tf.train.ClusterSpec({"ps": ["a:1", "b:1"], "worker": ["c:1", "d:1"]})
    here = "/job:worker/task:1"
    with tf.device(tf.train.replica_device_setter(cluster=spec, worker_device=here)):
        with tf.variable_scope("", use_resource=kind == "resource"):
            x = tf.placeholder(tf.float32, [None, 4, 3, 5])
            for layer in ("first", "second"):
                x = tf1_bn.batch_normalization(x, training=True, name=layer)
        train_op = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), tf.reduce_mean(x * x))
    assert train_op.graph is tf.get_default_graph()
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert len(updates) == 4
    servers = set()
    for update in updates:
        variable, change = update.inputs[0].op, update.inputs[1].op
        assert "/job:ps" in variable.device
        servers.add(variable.device)
        assert device_of(change) == device_of(update) == variable.device
        # The batch moment comes from the worker: one number for each channel crosses.
        (difference,) = [tensor.op for tensor in change.inputs if tensor.op.type == "Sub"]
        moment = difference.inputs[1]
        assert moment.shape.as_list() == [5]
        assert device_of(moment.op) == "/job:worker/task:1"
    assert len(servers) == 2


def device_of(op: Any) -> str:
    """Where the op will be: what it was given, or what it is colocated with."""
    groups = [group[5:].decode() for group in op.colocation_groups() if group.startswith(b"loc:@")]
    for name in groups:
        if name != op.name:
            return str(op.graph.get_operation_by_name(name).device)
    return str(op.device)


# --- synchronous training -------------------------------------------------------------------------


def test_synchronous_training_updates_with_the_chief_alone(tmp_path):
    with cluster(tmp_path, sync=True) as running:
        # One replica alone cannot finish a step, so both go on to the same global step.
        values, reports = train_together(running, last_step=STEPS)
    assert values["updates"] == [reports[0]["steps"], 0]
    # Only the chief's changes were applied, each of them once.
    assert_sum_of_changes(values, reports[:1])
    # Two gradients make a step, and none comes too late.
    assert values["global_step"] == STEPS
    assert sum(report["steps"] for report in reports) == WORKERS * STEPS


def test_one_worker_alone_makes_no_synchronous_step(tmp_path):
    """SyncReplicasOptimizer's hook lets it, with as many tokens at the start as workers."""
    with cluster(tmp_path, sync=True) as running:
        running.start("ps")
        chief = running.start("worker", 0)
        chief.ask("open")
        chief.tell("run")
        # While another process starts the chief has its chance.
        worker = running.start("worker", 1)
        assert worker.ask("open")["global_step"] == 0
        assert chief.steps() == 0
        # It was in the middle of its first step: a gradient of the other one ends it.
        worker.ask("run", steps=1)
        until(lambda: chief.steps() > 0, "the chief waits for its token")


def by_collection(optimizer: Any, loss: Any, global_step: Any) -> Any:
    tf = tensorflow()
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return optimizer.minimize(loss, global_step=global_step)


def by_helper(optimizer: Any, loss: Any, global_step: Any) -> Any:
    return tf1_bn.minimize(optimizer, loss, global_step=global_step)


def updates_of_synchronous_steps(minimize: Any, steps: int) -> int:
    """How often the updates ran in that many steps of one replica that draws its own batches."""
    tf = tensorflow()
    w = tf.get_variable("w", [3], initializer=tf.ones_initializer())
    y = tf1_bn.batch_normalization(tf.random_normal([8, 3]) * w, training=True)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    count = tf.get_variable("count", [], tf.int32, tf.zeros_initializer(), trainable=False)
    with tf.control_dependencies(updates):
        counted = tf.assign_add(count, 1, use_locking=True)
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, counted.op)
    optimizer = tf.train.SyncReplicasOptimizer(tf.train.GradientDescentOptimizer(0.1), 1, 1)
    global_step = tf.train.get_or_create_global_step()
    train_op = minimize(optimizer, tf.reduce_mean(tf.square(y - 1.0)), global_step)
    apply_gradients = optimizer.get_chief_queue_runner().enqueue_ops
    starts = [tf.global_variables_initializer(), tf.local_variables_initializer()]
    starts += [optimizer.chief_init_op, optimizer.get_init_tokens_op()]
    session = tf.Session()
    for start in starts:
        session.run(start)

    def chief() -> None:
        # Closing the session cancels the last of these.
        with contextlib.suppress(tf.errors.OpError):
            while True:
                session.run(apply_gradients)

    thread = threading.Thread(target=chief)
    thread.start()
    try:
        for _ in range(steps):
            session.run(train_op)
        return int(session.run(count))
    finally:
        session.close()
        thread.join()


def test_the_classic_spelling_updates_too_often_in_synchronous_training():
    """tensorflow/tensorflow#20834: the thread that applies the gradients runs the updates too."""
    assert updates_of_synchronous_steps(by_collection, 20) >= 30


def test_minimize_updates_once_for_each_synchronous_step():
    assert updates_of_synchronous_steps(by_helper, 20) == 20
