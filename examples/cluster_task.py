# SPDX-License-Identifier: Apache-2.0
"""One process of a parameter-server cluster that trains the digits: the ps, or one worker.

`train_digits_cluster.py` starts these on one machine. To use several machines, start one on each
with the same `--ps` and `--workers`, and a `--checkpoint-dir` that all of them can reach.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import example_support as support
import numpy as np
import tensorflow.compat.v1 as tf
from digits_data import Digits, load_digits, shift_half, shuffled_batches
from train_digits import build_model

import tf1_bn

REPORT_EVERY = 40
ADDRESS = re.compile(r"(?:[^][:,\s]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
SECONDS_BETWEEN_LOOKS = 1
SECONDS_FOR_THREADS = 2


class Program(NamedTuple):
    """The graph of one worker."""

    images: Any
    labels: Any
    loss: Any
    global_step: Any
    step_after: Any  # runs the train op
    hooks: list[Any]


# --- the graph ------------------------------------------------------------------------------------


def build(options: argparse.Namespace, cluster: Any) -> Program:
    """Builds the same graph in each worker: variables on the ps, everything else here."""
    workers = cluster.num_tasks("worker")
    here = f"/job:worker/task:{options.task}"
    with tf.device(tf.train.replica_device_setter(cluster=cluster, worker_device=here)):
        global_step = tf.train.get_or_create_global_step()
        model = build_model(training=True, momentum=options.momentum)
        labels = tf.placeholder(tf.int64, [None], name="labels")
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=model.logits)
        )
        count_updates(loss, options.task, workers)
        learning_rate = tf.train.polynomial_decay(2e-3, global_step, options.steps, 1e-5)
        optimizer = tf.train.AdamOptimizer(learning_rate, use_locking=True)
        hooks = []
        if options.sync:
            optimizer = tf.train.SyncReplicasOptimizer(optimizer, workers, workers)
            train_op = synchronous(optimizer, loss, global_step, updating=options.task == 0)
            hooks += synchronous_hooks(optimizer, options.task == 0, workers)
        else:
            # Every worker applies its updates of the moving statistics with its gradients.
            train_op = tf1_bn.minimize(optimizer, loss, global_step=global_step)
        # In synchronous training a replica must know of its last step as soon as it has its token.
        with tf.control_dependencies([train_op]):
            step_after = global_step.read_value()
    return Program(model.images, labels, loss, global_step, step_after, hooks)


def count_updates(loss: Any, task: int, workers: int) -> None:
    """Adds to the update ops one that counts, on the ps, how often this worker's were run."""
    updates_by_worker = tf.get_variable(
        "updates_by_worker", [workers], tf.int64, tf.zeros_initializer(), trainable=False
    )
    with tf.control_dependencies(tf1_bn.update_ops_for(loss)):
        counted = tf.assign_add(
            updates_by_worker, tf.one_hot(task, workers, dtype=tf.int64), use_locking=True
        )
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, counted.op)


def synchronous(optimizer: Any, loss: Any, global_step: Any, updating: bool) -> Any:
    """Train op of one replica; the updates of the moving statistics run where `updating`.

    They hang on this replica's gradients. Control dependencies around `apply_gradients` would also
    catch the op with which the chief's own thread applies the averaged gradients.
    """
    gradients = optimizer.compute_gradients(loss)
    if updating:
        with tf.control_dependencies(tf1_bn.update_ops_for(loss)):
            gradients = [(tf.identity(gradient), variable) for gradient, variable in gradients]
    return optimizer.apply_gradients(gradients, global_step=global_step)


class FreeTheWaiting(tf.train.SessionRunHook):
    """Gives the other workers a token when the chief comes back to a ps that went on without it.

    A chief that dies with the gradients of a step in hand leaves them waiting for its tokens.
    """

    def __init__(self, optimizer: Any, workers: int) -> None:
        # The ps alone knows: in no collection, so nothing initializes, saves or restores it.
        self._chief_was_here = tf.get_variable(
            "chief_was_here", [], tf.bool, tf.ones_initializer(), trainable=False, collections=[]
        )
        with tf.device(self._chief_was_here.device):
            self._seen = tf.is_variable_initialized(self._chief_was_here)
        self._give_tokens = optimizer.get_init_tokens_op(num_tokens=workers - 1)

    def after_create_session(self, session: Any, coord: Any) -> None:
        if session.run(self._seen):
            session.run(self._give_tokens)
        session.run(self._chief_was_here.initializer)


def synchronous_hooks(optimizer: Any, chief: bool, workers: int) -> list[Any]:
    """With a token to start with, as is the default, one worker alone could make all steps."""
    hooks = [optimizer.make_session_run_hook(is_chief=chief, num_tokens=0)]
    return [*hooks, FreeTheWaiting(optimizer, workers)] if chief else hooks


# --- the session ----------------------------------------------------------------------------------


class PatientWorker(tf.train.SessionCreator):
    """Waits until the chief has initialized or restored the variables.

    What MonitoredTrainingSession does in a worker that is not the chief, but for looking every
    second: there it is every 30 seconds, without a choice.
    """

    def __init__(self, target: str, config: Any) -> None:
        self._target = target
        self._config = config
        self._scaffold = tf.train.Scaffold()

    def create_session(self) -> Any:
        self._scaffold.finalize()
        manager = tf.train.SessionManager(
            local_init_op=self._scaffold.local_init_op,
            ready_op=self._scaffold.ready_op,
            ready_for_local_init_op=self._scaffold.ready_for_local_init_op,
            graph=tf.get_default_graph(),
            recovery_wait_secs=SECONDS_BETWEEN_LOOKS,
        )
        return manager.wait_for_session(self._target, config=self._config)


class Report(tf.train.SessionRunHook):
    """Says where a new session stands: at the start, and again each time the ps came back."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def after_create_session(self, session: Any, coord: Any) -> None:
        say(f"session at global step {session.run(self._program.global_step)}")


def monitored_session(options: argparse.Namespace, target: str, program: Program) -> Any:
    # Without filters a session waits for all workers, also for one that is dead.
    config = tf.ConfigProto(device_filters=["/job:ps", f"/job:worker/task:{options.task}"])
    hooks = [Report(program), *program.hooks]
    if options.task > 0:
        return tf.train.MonitoredSession(
            PatientWorker(target, config), hooks, stop_grace_period_secs=SECONDS_FOR_THREADS
        )
    return tf.train.MonitoredTrainingSession(
        target,
        is_chief=True,
        checkpoint_dir=str(options.checkpoint_dir),
        hooks=hooks,
        config=config,
        save_checkpoint_steps=options.save_steps,
        save_summaries_steps=None,
        save_summaries_secs=None,
        log_step_count_steps=None,
        # The chief's thread of synchronous training waits for gradients; nothing wakes it.
        stop_grace_period_secs=SECONDS_FOR_THREADS,
    )


# --- the process ----------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, flush=True)


class Launcher:
    """What the launcher has said so far: each line of stdin is one of these words.

    All workers wait for "start" after their first step, and for "half" at `--pause-at`, so that
    none is late; and when they are done for "finish", so that they can go on if steps are lost.
    """

    def __init__(self) -> None:
        self.said = {word: threading.Event() for word in ("start", "half", "finish")}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.said[line.strip()].set()
        # Nobody else would end this process when the launcher is gone.
        os._exit(support.EXIT_INTERRUPTED)


def batches(digits: Digits, options: argparse.Namespace, global_step: int) -> Iterator[Digits]:
    """Batches of this worker without end; a worker that was restarted draws others."""
    random = np.random.RandomState([options.seed, options.task, global_step])
    while True:
        for batch in shuffled_batches(digits, options.batch_size, random):
            yield Digits(shift_half(batch.images, random), batch.labels)


def train(
    options: argparse.Namespace, target: str, program: Program, launcher: Launcher | None
) -> None:
    """Trains until the global step is reached, and the launcher agrees, if there is one."""
    steps = 0
    with monitored_session(options, target, program) as session:
        global_step = session.run(program.global_step)
        endless = batches(load_digits().training, options, global_step)
        while True:
            while global_step < options.steps:
                batch = next(endless)
                loss, global_step = session.run(
                    [program.loss, program.step_after],
                    {program.images: batch.images, program.labels: batch.labels},
                )
                steps += 1
                now = progress(global_step, options.steps, steps)
                if steps % REPORT_EVERY == 0:
                    say(f"{now}, loss {loss:.4f}")
                if launcher is not None:
                    for word in gates(options, global_step):
                        wait_at_gate(word, now, launcher, session, program)
            say(progress(global_step, options.steps, steps) + ", done")
            if launcher is None:
                return
            while global_step >= options.steps:
                finish = launcher.said["finish"].wait(SECONDS_BETWEEN_LOOKS)
                # Steps are lost when the ps or the chief dies meanwhile; only looking shows it.
                global_step = session.run(program.global_step)
                if finish and global_step >= options.steps:
                    return


def gates(options: argparse.Namespace, global_step: int) -> list[str]:
    half = options.pause_at is not None and global_step >= options.pause_at
    return ["start", "half"] if half else ["start"]


def wait_at_gate(word: str, now: str, launcher: Launcher, session: Any, program: Program) -> None:
    if not launcher.said[word].is_set():
        say(f"{now}, waiting for {word}")
    while not launcher.said[word].wait(SECONDS_BETWEEN_LOOKS):
        # The others may need this session: if the ps died, the chief's restores the variables.
        session.run(program.global_step)


def progress(global_step: int, of: int, steps: int) -> str:
    return f"global step {global_step} of {of}, {steps} steps here"


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    number = support.whole_number
    parser.add_argument("--job", choices=["ps", "worker"], required=True)
    parser.add_argument("--task", type=number(0), required=True, help="worker 0 is the chief")
    parser.add_argument("--ps", type=address, required=True, metavar="HOST:PORT")
    parser.add_argument("--workers", type=addresses, required=True, metavar="HOST:PORT,...")
    parser.add_argument("--checkpoint-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=number(1), default=880, help="default %(default)s")
    parser.add_argument("--save-steps", type=number(1), default=100, help="default %(default)s")
    parser.add_argument("--batch-size", type=number(2), default=32, help="default %(default)s")
    parser.add_argument(
        "--momentum", type=support.fraction, default=0.99, help="default %(default)s"
    )
    parser.add_argument("--seed", type=number(0), default=0, help="default %(default)s")
    parser.add_argument("--sync", action="store_true", help="synchronous training")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--pause-at", type=number(1), help=argparse.SUPPRESS)
    options = parser.parse_args()
    last = len(options.workers) - 1 if options.job == "worker" else 0
    if options.task > last:
        allowed = f"a whole number from 0 to {last}" if last else "0"
        parser.error(
            f"argument --task: expected {allowed} with --job {options.job} and "
            f"{len(options.workers)} --workers, got {options.task}"
        )
    return options


def address(text: str) -> str:
    """An argparse type: HOST:PORT."""
    found = ADDRESS.fullmatch(text)
    if found is None or not 1 <= int(found.group(1)) <= 65535:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, got {text!r}")
    return text


def addresses(text: str) -> list[str]:
    """An argparse type: HOST:PORT of each worker, with commas between them."""
    return [address(part) for part in text.split(",")]


def quiet_end() -> None:
    """Hides how the chief's thread of synchronous training learns that the session has ended."""
    if hasattr(threading, "excepthook"):
        show = threading.excepthook
        cancelled = tf.errors.CancelledError

        def show_unless_cancelled(found: Any) -> None:
            if found.exc_type is None or not issubclass(found.exc_type, cancelled):
                show(found)

        threading.excepthook = show_unless_cancelled


def main() -> None:
    options = parse_options()
    quiet_end()
    launcher = Launcher() if options.supervised else None
    support.quiet(tf)
    tf.disable_v2_behavior()
    # Adding to a resource variable is atomic, so no worker's step can overwrite another's.
    tf.enable_resource_variables()
    cluster = tf.train.ClusterSpec({"ps": [options.ps], "worker": options.workers})
    # Some processes share this machine.
    config = tf.ConfigProto(intra_op_parallelism_threads=1, device_count={"GPU": 0})
    server = tf.train.Server(cluster, options.job, options.task, config=config)
    say("serving")
    if options.job == "ps":
        server.join()
    tf.set_random_seed(options.seed)
    train(options, server.target, build(options, cluster), launcher)


if __name__ == "__main__":
    support.run(main)
