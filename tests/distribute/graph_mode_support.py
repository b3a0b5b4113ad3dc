"""What the running TensorFlow supports of distribution in graph mode, found by trying.

`python -m tests.distribute.graph_mode_support` prints one column of the table in
`migration_guide/scaling_out.md`. Each feature is tried in a process of its own, all of them forks
of one that has imported TensorFlow, which takes seconds, and has done nothing else.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable

import numpy as np

TIMEOUT = 240
MOMENTUM = 0.5
FEATURES: dict = {}


def feature(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Registers a trial: it returns a word for the table, None for yes, or raises."""

    def register(trial: Callable[[], Any]) -> Callable[[], Any]:
        FEATURES[name] = trial
        return trial

    return register


def _tf() -> Any:
    import tensorflow.compat.v1 as tf

    return tf


def _data(replicas: int = 2) -> list:
    random = np.random.RandomState(2)
    return [random.randn(4 + i, 3) + 10.0 * (i + 1) for i in range(replicas)]


def _build(strategy: Any, optimizer: Any = None, step_of: Any = None) -> tuple:
    """Placeholders and an op of one training step in all replicas."""
    import tf1_bn

    tf = _tf()
    xs = [tf.placeholder(tf.float32, [None, 3]) for _ in range(strategy.num_replicas_in_sync)]

    def step() -> Any:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = int(tf.get_static_value(number) if tf.is_tensor(number) else number)
        y = tf1_bn.batch_normalization(xs[number], training=True, momentum=MOMENTUM, name="bn")
        loss = tf.reduce_mean(y**2 * [1.0, 2.0, 3.0])
        if optimizer is None:
            done = tf1_bn.update_ops_for(loss)
        else:
            count = tf.train.get_or_create_global_step()
            done = [tf1_bn.minimize(optimizer, loss, global_step=count)]
        with tf.control_dependencies(done):
            return tf.identity(loss)

    with strategy.scope():
        if optimizer is not None:
            tf.train.get_or_create_global_step()
        run = getattr(strategy, "run", None) or strategy.experimental_run_v2
        return xs, strategy.reduce(tf.distribute.ReduceOp.MEAN, run(step), axis=None)


def _mirrored() -> Any:
    return _tf().distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


def _config() -> Any:
    return _tf().ConfigProto(device_count={"CPU": 2})


def _moving_mean() -> Any:
    return next(v for v in _tf().global_variables() if v.name.endswith("bn/moving_mean:0"))


def _expected(replicas: int = 2) -> Any:
    return np.mean([(1.0 - MOMENTUM) * x.mean(0) for x in _data(replicas)], 0)


def _check(found: Any, expected: Any) -> None:
    if not np.allclose(found, expected, rtol=1e-4):
        raise AssertionError(f"{found} instead of {expected}")


def _one_step(strategy: Any) -> None:
    """One step, and the statistics read inside of the strategy's scope."""
    tf = _tf()
    xs, step = _build(strategy)
    with tf.Session(config=_config()) as session:
        session.run(tf.global_variables_initializer())
        session.run(step, dict(zip(xs, _data())))
        with strategy.scope():
            _check(session.run(_moving_mean().read_value()), _expected(len(xs)))


@feature("`MirroredStrategy`, `run` in a `tf.Graph`")
def mirrored() -> None:
    _one_step(_mirrored())


@feature("the method is called")
def method() -> str:
    return "`run`" if hasattr(_mirrored(), "run") else "`experimental_run_v2`"


@feature("statistics fetched inside of `strategy.scope()`")
def fetched_inside() -> str:
    return _fetched(inside=True)


@feature("statistics fetched outside of `strategy.scope()`")
def fetched_outside() -> str:
    return _fetched(inside=False)


def _fetched(inside: bool) -> str:
    tf, strategy = _tf(), _mirrored()
    xs, step = _build(strategy)
    with tf.Session(config=_config()) as session:
        session.run(tf.global_variables_initializer())
        session.run(step, dict(zip(xs, _data())))
        with strategy.scope() if inside else contextlib.nullcontext():
            found = session.run(_moving_mean())
    if np.allclose(found, _expected(2), rtol=1e-4):
        return "mean of the replicas"
    _check(found, _expected(1))
    return "first replica's alone"


@feature("v1 optimizer and global step")
def optimizer() -> None:
    tf, strategy = _tf(), _mirrored()
    with strategy.scope():
        adam = tf.train.AdamOptimizer(0.1)
    xs, step = _build(strategy, adam)
    with tf.Session(config=_config()) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run(step, dict(zip(xs, _data())))
        assert session.run(tf.train.get_global_step()) == 3


@feature("`tf.train.Saver`: replicas to one device and back")
def saver() -> None:
    import tf1_bn

    tf, strategy = _tf(), _mirrored()
    xs, step = _build(strategy)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        with tf.Session(config=_config()) as session:
            session.run(tf.global_variables_initializer())
            session.run(step, dict(zip(xs, _data())))
            tf.train.Saver().save(session, path)
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.placeholder(tf.float32, [None, 3])
            tf1_bn.batch_normalization(x, training=True, name="bn")
            tf.train.Saver().restore(session, path)
            _check(session.run(_moving_mean()), _expected())
            tf.train.Saver().save(session, path)
        with tf.Graph().as_default(), tf.Session(config=_config()) as session:
            strategy = _mirrored()
            _build(strategy)
            tf.train.Saver().restore(session, path)
            for own in session.run(list(strategy.experimental_local_results(_moving_mean()))):
                _check(own, _expected())


@feature("`MonitoredTrainingSession` with checkpoints")
def monitored() -> None:
    tf, strategy = _tf(), _mirrored()
    with strategy.scope():
        adam = tf.train.AdamOptimizer(0.1)
    xs, step = _build(strategy, adam)
    with tempfile.TemporaryDirectory() as folder:
        with strategy.scope(), tf.train.MonitoredTrainingSession(
            checkpoint_dir=folder, config=_config()
        ) as session:
            session.run(step, dict(zip(xs, _data())))
        saved = tf.train.load_checkpoint(folder)
        _check(saved.get_tensor("bn/moving_mean"), _expected())
        assert saved.get_tensor("global_step") == 1


@feature("`experimental_distribute_dataset`")
def dataset() -> None:
    import tf1_bn

    tf, strategy = _tf(), _mirrored()
    values = np.arange(24, dtype="float32").reshape(8, 3) ** 2
    with strategy.scope():
        batches = tf.data.Dataset.from_tensor_slices(values).repeat().batch(4)
        iterator = strategy.experimental_distribute_dataset(batches).make_initializable_iterator()

        def step(x: Any) -> Any:
            y = tf1_bn.batch_normalization(x, training=True, momentum=MOMENTUM, name="bn")
            with tf.control_dependencies(tf1_bn.update_ops_for(tf.reduce_sum(y))):
                return tf.reduce_sum(y)

        run = getattr(strategy, "run", None) or strategy.experimental_run_v2
        sums = strategy.experimental_local_results(run(step, (iterator.get_next(),)))
    with tf.Session(config=_config()) as session:
        start = iterator.initialize() if hasattr(iterator, "initialize") else iterator.initializer
        session.run([start, tf.global_variables_initializer()])
        session.run(sums)
        with strategy.scope():
            _check(session.run(_moving_mean().read_value()), 0.5 * values[:4].mean(0))


@feature("statistics merged by `tf1_bn.cross_replica`")
def merged() -> None:
    import tf1_bn

    tf, strategy = _tf(), _mirrored()
    with tf1_bn.cross_replica():
        xs, step = _build(strategy)
    with tf.Session(config=_config()) as session:
        session.run(tf.global_variables_initializer())
        session.run(step, dict(zip(xs, _data())))
        with strategy.scope():
            found = session.run(_moving_mean().read_value())
    _check(found, 0.5 * np.concatenate(_data()).mean(0))


@feature("`OneDeviceStrategy`")
def one_device() -> None:
    _one_step(_tf().distribute.OneDeviceStrategy("/cpu:0"))


@feature("`CentralStorageStrategy`, two devices")
def central_storage() -> None:
    tf = _tf()
    devices = ["/cpu:0", "/cpu:1"]
    strategy = tf.distribute.experimental.CentralStorageStrategy(devices, "/cpu:0")
    xs, step = _build(strategy)
    with tf.Session(config=_config()) as session:
        session.run(tf.global_variables_initializer())
        session.run(step, dict(zip(xs, _data())))
        found = session.run(_moving_mean())
    _check(found, _expected())


@feature("`MultiWorkerMirroredStrategy`, one worker")
def multi_worker() -> None:
    _one_step(_tf().distribute.experimental.MultiWorkerMirroredStrategy())


@feature("`ParameterServerStrategy`, one process")
def parameter_server() -> None:
    _one_step(_tf().distribute.experimental.ParameterServerStrategy())


@feature("`tf.estimator` with `train_distribute`")
def estimator() -> None:
    import tf1_bn

    tf = _tf()

    def model_fn(features: Any, labels: Any, mode: Any) -> Any:
        y = tf1_bn.batch_normalization(features, training=True, momentum=MOMENTUM, name="bn")
        loss = tf.reduce_mean((y - labels) ** 2)
        count = tf.train.get_global_step()
        step = tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), loss, global_step=count)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=step)

    def input_fn() -> Any:
        values = np.ones([8, 3], "float32") * np.arange(1, 4, dtype="float32")
        return tf.data.Dataset.from_tensor_slices((values, values)).repeat().batch(4)

    with tempfile.TemporaryDirectory() as folder:
        settings = tf.estimator.RunConfig(
            model_dir=folder, train_distribute=_mirrored(), session_config=_config()
        )
        tf.estimator.Estimator(model_fn, config=settings).train(input_fn, steps=2)
        saved = tf.train.load_checkpoint(folder)
        _check(saved.get_tensor("bn/moving_mean"), 0.75 * np.arange(1, 4))


NAMES = list(FEATURES)


def try_one(name: str) -> str:
    """A cell of the table; runs in the current process."""
    tf = _tf()
    tf.disable_v2_behavior()
    try:
        with tf.Graph().as_default():
            return FEATURES[name]() or "yes"
    except Exception as error:
        text = str(error).strip().split("\n")[0]
        print(f"{name}: {type(error).__name__}: {text}", file=sys.stderr)
        return f"no: {type(error).__name__}"


def try_all() -> dict:
    """All cells of the column of the running TensorFlow."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "found.json")
        subprocess.run(
            [sys.executable, "-m", "tests.distribute.graph_mode_support", path],
            cwd=root,
            env={**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore"},
            check=True,
        )
        with open(path, encoding="utf-8") as file:
            found: dict = json.load(file)
    return found


def _fork_each(path: str) -> None:
    """Write the cells to a file; in a fork return, so that it ends as any process does."""
    _tf()
    # Or each fork would look through all of TensorFlow when it ends.
    gc.freeze()
    found = {}
    for name in NAMES:
        cell, text = f"{path}.cell", ""
        child = os.fork()
        if child == 0:
            with open(cell, "w", encoding="utf-8") as file:
                json.dump(try_one(name), file)
            return
        ended = _ended(child)
        with contextlib.suppress(OSError), open(cell, encoding="utf-8") as file:
            text = file.read()
            os.remove(cell)
        found[name] = (json.loads(text) if text else "no: ends") if ended else "no: hangs"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file)


def _ended(child: int) -> bool:
    """Wait for a process; one that takes too long is killed."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> None:
    if len(sys.argv) > 1:
        _fork_each(sys.argv[1])
        return
    for name, cell in try_all().items():
        print(f"| {name} | {cell} |", flush=True)


if __name__ == "__main__":
    main()
