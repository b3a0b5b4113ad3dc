"""Real clusters for the tests: each task is a process of its own, told what to do line by line.

A server process imports TensorFlow once and forks for every task, since importing takes seconds.
A task connects back to the test and obeys JSON lines: `run` (steps), `stop`, `progress`, `close`.
Run as a program, this file is that server.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Sequence

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TIME_LIMIT = 120.0  # seconds; only to end a hung test, no statement about speed
ENDLESS = 10**9
CHANNELS = 5
KINDS = ("ref", "resource")
STATISTICS = tuple(
    f"{kind}/bn/{name}" for kind in KINDS for name in ("moving_mean", "moving_variance")
)
MEANS = (1.0, -2.0, 3.5, 10.0, 0.25)
DEVIATIONS = (0.5, 1.0, 2.0, 0.25, 3.0)


class Setting(NamedTuple):
    """What all tasks of one cluster share."""

    addresses: tuple[str, ...]  # of the ps, then of the workers
    checkpoint_dir: str
    save_steps: int = 20
    momentum: float = 0.9
    sync: bool = False
    filters: bool = True
    constant: bool = False  # every batch of every worker is the same one


# --- in the test ----------------------------------------------------------------------------------


def until(condition: Callable[[], Any], what: str) -> Any:
    """Polls until the condition holds, and returns what it gave."""
    end = time.monotonic() + TIME_LIMIT
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.05)


class Task:
    """The test's end of one task."""

    def __init__(self, name: str, connection: socket.socket) -> None:
        self.name = name
        connection.settimeout(TIME_LIMIT)
        self._connection = connection
        self._file = connection.makefile("rw")
        self.pid = 0

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Sends one line and returns the answer to it."""
        self.tell(action, **arguments)
        return self.answer()

    def tell(self, action: str, **arguments: Any) -> None:
        self._file.write(json.dumps({"action": action, **arguments}) + "\n")
        self._file.flush()

    def answer(self) -> dict[str, Any]:
        answer = self._read()
        assert "error" not in answer, f"{self.name}: {answer['error']}"
        return answer

    def progress(self) -> dict[str, Any]:
        """Steps so far and the sessions so far; answered at once, also in the middle of a step."""
        return self.ask("progress")

    def steps(self) -> int:
        return int(self.progress()["steps"])

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        # The end of the connection says that the process is gone.
        with contextlib.suppress(OSError):
            while self._connection.recv(4096):
                pass
        self.release()

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._connection.close()

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        assert line, f"{self.name} ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


class Cluster:
    """One ps and two workers, of which worker 0 is the chief; started one by one."""

    def __init__(self, folder: Path, **setting: Any) -> None:
        self.folder = folder
        self._tasks: list[Task] = []
        self._held = [held_port() for _ in range(3)]
        addresses = tuple(f"localhost:{held.getsockname()[1]}" for held in self._held)
        self.setting = Setting(addresses, str(folder), **setting)
        self._listener = socket.socket()
        self._listener.bind(("localhost", 0))
        self._listener.listen()
        self._listener.settimeout(TIME_LIMIT)
        self._log = (folder / "tasks.log").open("w")
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            universal_newlines=True,
            env=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), str(EXAMPLES)])
        environment = {**os.environ, "PYTHONPATH": path}
        if not self.setting.filters:
            # TensorFlow says in its log for which task a session waits.
            environment["TF_CPP_MIN_LOG_LEVEL"] = "0"
        return environment

    def log(self) -> str:
        return (self.folder / "tasks.log").read_text(errors="replace")

    def start(self, job: str, task: int = 0) -> Task:
        """Starts a task in a new process; a worker has no session until it is asked for one."""
        assert self._server.stdin is not None
        port = self._listener.getsockname()[1]
        line = json.dumps({"job": job, "task": task, "port": port, "setting": self.setting})
        self._server.stdin.write(line + "\n")
        self._server.stdin.flush()
        connection, _ = self._listener.accept()
        started = Task(f"{job} {task}", connection)
        self._tasks.append(started)
        started.pid = int(started.answer()["pid"])
        return started

    def end(self) -> None:
        for task in self._tasks:
            if task.pid:
                with contextlib.suppress(OSError):
                    task.signal(signal.SIGKILL)
            task.release()
        self._listener.close()
        self._server.kill()
        self._server.communicate()
        self._log.close()
        for held in self._held:
            held.close()


@contextlib.contextmanager
def cluster(folder: Path, **setting: Any) -> Iterator[Cluster]:
    made = Cluster(folder, **setting)
    try:
        yield made
    except BaseException:
        print(made.log()[-5000:])
        raise
    finally:
        made.end()


def held_port() -> socket.socket:
    """A port that nobody else is given as free, while a server that names it still gets it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("", 0))
    return held


def alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- in a task ------------------------------------------------------------------------------------


class Program(NamedTuple):
    """The graph of one worker. Each of `deltas` is what one run of an update op subtracts."""

    inputs: Any
    step_after: Any  # runs the train op
    global_step: Any
    counts: Any
    statistics: dict[str, Any]
    deltas: dict[str, Any]
    hooks: list[Any]


def build(setting: Setting, task: int, spec: Any) -> Program:
    """Two layers, of ref and of resource variables, that normalize what is fed.

    Their batch moments depend on the batch alone, not on weights, so NumPy can follow them.
    """
    import cluster_task
    import tensorflow.compat.v1 as tf

    import tf1_bn

    here = f"/job:worker/task:{task}"
    workers = spec.num_tasks("worker")
    with tf.device(tf.train.replica_device_setter(cluster=spec, worker_device=here)):
        with tf.variable_scope("", use_resource=True):
            global_step = tf.train.get_or_create_global_step()
        inputs = tf.placeholder(tf.float64, [None, CHANNELS])
        losses = []
        for kind in KINDS:
            with tf.variable_scope(kind, use_resource=kind == "resource"):
                normalized = tf1_bn.batch_normalization(
                    inputs, momentum=setting.momentum, training=True, name="bn"
                )
                weights = tf.get_variable(
                    "weights", [CHANNELS], tf.float64, tf.constant_initializer(2.0)
                )
            losses.append(tf.reduce_mean(tf.square(normalized * weights - 1.0)))
        loss = tf.add_n(losses)
        updates = tf1_bn.update_ops_for(loss)
        cluster_task.count_updates(loss, task, workers)
        optimizer = tf.train.GradientDescentOptimizer(0.01, use_locking=True)
        hooks = []
        if setting.sync:
            optimizer = tf.train.SyncReplicasOptimizer(optimizer, workers, workers)
            train_op = cluster_task.synchronous(optimizer, loss, global_step, task == 0)
            hooks += cluster_task.synchronous_hooks(optimizer, task == 0, workers)
        else:
            train_op = tf1_bn.minimize(optimizer, loss, global_step=global_step)
        with tf.control_dependencies([train_op]):
            step_after = global_step.read_value()
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    statistics = {name: variables[name] for name in STATISTICS}
    deltas = {name: subtracted_from(statistics[name], updates) for name in STATISTICS}
    counts = variables["updates_by_worker"]
    return Program(inputs, step_after, global_step, counts, statistics, deltas, hooks)


def subtracted_from(variable: Any, updates: Sequence[Any]) -> Any:
    """The second input of the one update op that writes the variable."""
    (update,) = [op for op in updates if op.inputs[0].op.name == variable.op.name]
    return update.inputs[1]


class Worker:
    """Trains when told to; `progress` may be asked from another thread meanwhile."""

    def __init__(self, setting: Setting, task: int) -> None:
        import tensorflow.compat.v1 as tf

        self.setting = setting
        self.task = task
        self.steps = 0
        self.sessions: list[dict[str, Any]] = []
        self.stopping = threading.Event()
        self._session: Any = None
        self._random: Any = None
        tf.logging.set_verbosity(tf.logging.ERROR)
        tf.disable_v2_behavior()
        workers = list(setting.addresses[1:])
        self._spec = tf.train.ClusterSpec({"ps": [setting.addresses[0]], "worker": workers})
        self._target = tf.train.Server(self._spec, "worker", task).target
        # The default graph of the thread that answers requests is not that of the one that works.
        self.graph = tf.Graph()
        with self.graph.as_default():
            self._program = build(setting, task, self._spec)

    def progress(self) -> dict[str, Any]:
        return {"steps": self.steps, "sessions": list(self.sessions)}

    def open(self) -> dict[str, Any]:
        import cluster_task
        import tensorflow.compat.v1 as tf

        filters = ["/job:ps", f"/job:worker/task:{self.task}"] if self.setting.filters else []
        config = tf.ConfigProto(device_filters=filters)
        hooks = [noting(self), *self._program.hooks]
        if self.task > 0:
            creator = cluster_task.PatientWorker(self._target, config)
            self._session = tf.train.MonitoredSession(creator, hooks, stop_grace_period_secs=1)
        else:
            self._session = tf.train.MonitoredTrainingSession(
                self._target,
                checkpoint_dir=self.setting.checkpoint_dir,
                hooks=hooks,
                config=config,
                save_checkpoint_steps=self.setting.save_steps,
                save_summaries_steps=None,
                save_summaries_secs=None,
                log_step_count_steps=None,
                stop_grace_period_secs=1,
            )
        return self.sessions[-1]

    def run(self, steps: int = ENDLESS, last_step: int = ENDLESS) -> dict[str, Any]:
        """Trains for some steps, or to a global step, or until told to stop."""
        import numpy as np

        if self._random is None:
            self._random = np.random.RandomState([7, self.task, len(self.sessions)])
        if self._session is None:
            self.open()
        self.stopping.clear()
        program = self._program
        done, global_step = 0, -1
        means, variances, changes = [], [], []
        taken = {name: np.zeros([CHANNELS]) for name in STATISTICS}
        while done < steps and global_step < last_step and not self.stopping.is_set():
            batch = constant_batch() if self.setting.constant else self._batch()
            global_step, deltas = self._session.run(
                [program.step_after, program.deltas], {program.inputs: batch}
            )
            done += 1
            self.steps += 1
            for name in STATISTICS:
                taken[name] += deltas[name]
            changes.append(min(float(np.abs(delta).max()) for delta in deltas.values()))
            means.append(batch.mean(axis=0))
            variances.append(batch.var(axis=0))
        return {
            "steps": done,
            "taken": {name: delta.tolist() for name, delta in taken.items()},
            "smallest_change": min(changes) if changes else None,
            "means": [np.min(means, axis=0).tolist(), np.max(means, axis=0).tolist()],
            "variances": [np.min(variances, axis=0).tolist(), np.max(variances, axis=0).tolist()],
        }

    def read(self) -> dict[str, Any]:
        return dict(
            self._session.run_step_fn(lambda step_context: self.values(step_context.session))
        )

    def close(self) -> dict[str, Any]:
        self._session.close()
        return {}

    def values(self, session: Any) -> dict[str, Any]:
        """What the ps holds now; JSON keeps every bit of a float64."""
        program = self._program
        values = session.run([program.global_step, program.counts, program.statistics])
        return {
            "global_step": int(values[0]),
            "updates": values[1].tolist(),
            "statistics": {name: value.tolist() for name, value in values[2].items()},
        }

    def _batch(self) -> Any:
        return self._random.normal(MEANS, DEVIATIONS, size=[16, CHANNELS])


def constant_batch() -> Any:
    """Batch moments that are exact in binary: means as in MEANS, variances the squares."""
    import numpy as np

    signs = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    return np.asarray(MEANS) + signs * np.asarray(DEVIATIONS)


def noting(worker: Worker) -> Any:
    """A hook that notes what a new session finds, before the first step."""
    import tensorflow.compat.v1 as tf

    class Note(tf.train.SessionRunHook):
        def after_create_session(self, session: Any, coord: Any) -> None:
            worker.sessions.append(worker.values(session))

    return Note()


def serve_ps(setting: Setting) -> Any:
    import tensorflow.compat.v1 as tf

    workers = list(setting.addresses[1:])
    spec = tf.train.ClusterSpec({"ps": [setting.addresses[0]], "worker": workers})
    return tf.train.Server(spec, "ps", 0)


def obey(request: dict[str, Any]) -> None:
    """One task: reads requests in this thread and works in another, until the test is gone."""
    control = socket.create_connection(("localhost", request["port"])).makefile("rw")
    lock = threading.Lock()

    def answer(reply: dict[str, Any]) -> None:
        with lock:
            control.write(json.dumps(reply) + "\n")
            control.flush()

    setting = Setting(*request["setting"])
    if request["job"] == "ps":
        worker: Any = serve_ps(setting)  # it serves as long as it is referred to
    else:
        worker = Worker(setting, request["task"])
    answer({"pid": os.getpid()})

    def work(action: str, arguments: dict[str, Any]) -> None:
        try:
            with worker.graph.as_default():
                answer(getattr(worker, action)(**arguments))
        except BaseException:
            answer({"error": traceback.format_exc()})

    for line in control:
        order = json.loads(line)
        action = order.pop("action")
        if action == "progress":
            answer(worker.progress())
        elif action == "stop":
            worker.stopping.set()
        else:
            threading.Thread(target=work, args=(action, order), daemon=True).start()


def main() -> None:
    """Forks a task for every line of stdin."""
    import cluster_task
    import tensorflow.compat.v1 as tf

    import tf1_bn

    # The package is lazy: a name brings its modules in.
    assert [tf.__version__, cluster_task.build, tf1_bn.minimize]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in iter(sys.stdin.readline, ""):
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                obey(json.loads(line))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                # No exit handlers: they belong to the parent.
                os._exit(0)


if __name__ == "__main__":
    main()
