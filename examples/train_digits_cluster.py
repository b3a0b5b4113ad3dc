# SPDX-License-Identifier: Apache-2.0
"""Trains the digits on a cluster: one parameter server and two workers, each a process of its own.

Between-graph replication over grpc, the way TF1 programs leave one machine: each worker builds the
graph, `tf.train.replica_device_setter` puts the variables on the ps, and the chief writes the
checkpoints. `--kill` ends one of the processes half-way with SIGKILL and starts it again.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import example_support as support
from cluster_processes import Cluster, ClusterError, Line, Process, free_ports
from digits_data import load_digits

WORKERS = 2
EXIT_FAILED = 1
EXIT_TERMINATED = 143
# TensorFlow's names for checkpoint files that it has not finished.
PARTIAL = re.compile(
    r"model\.ckpt-\d+(?:_temp(?:_[0-9a-f]+)?|\..+\.tempstate\d+|\.meta\.tmp[0-9a-f]{32})"
    r"|checkpoint\.tmp[0-9a-f]{32}"
)


class Result(NamedTuple):
    """What the last checkpoint holds."""

    global_step: int
    updates_by_worker: list[int]
    accuracy: float


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    number = support.whole_number
    parser.add_argument("--epochs", type=number(1, 10000), default=20, help="default %(default)s")
    parser.add_argument(
        "--batch-size", type=number(2, 1438), default=32, help="of one worker, default %(default)s"
    )
    parser.add_argument("--seed", type=number(0), default=0, help="default %(default)s")
    parser.add_argument(
        "--momentum",
        type=support.fraction,
        default=0.99,
        help="of the moving statistics, default %(default)s",
    )
    parser.add_argument(
        "--sync", action="store_true", help="average two gradients in each global step"
    )
    parser.add_argument(
        "--kill",
        choices=["worker", "chief", "ps"],
        help="end this process half-way with SIGKILL, and start it again",
    )
    parser.add_argument(
        "--save-steps",
        type=number(1),
        default=100,
        help="global steps from one checkpoint to the next, default %(default)s",
    )
    parser.add_argument(
        "--checkpoint-dir",
        type=Path,
        metavar="DIR",
        help="keep the checkpoints here, and go on from the last one that is there "
        "(default: a temporary directory)",
    )
    return parser.parse_args()


def run_cluster(options: argparse.Namespace, steps: int, directory: Path) -> list[Process]:
    """Runs all processes until the chief has written the last checkpoint; returns them."""
    arguments = [
        *["--checkpoint-dir", str(directory), "--steps", str(steps)],
        *["--save-steps", str(options.save_steps), "--batch-size", str(options.batch_size)],
        *["--momentum", str(options.momentum), "--seed", str(options.seed)],
        *(["--sync"] if options.sync else []),
        # Whom to kill must not be done before the launcher sees that the time has come.
        *(["--pause-at", str((steps + 1) // 2)] if options.kill else []),
    ]
    gates = ["start", "half"] if options.kill else ["start"]
    with free_ports(1 + WORKERS) as ports:
        cluster = Cluster(WORKERS, ports, arguments, gates)
        victims = {"ps": cluster.ps, "chief": cluster.chief, "worker": cluster.workers[1]}
        try:
            cluster.start()
            while not cluster.chief.finished:
                line = cluster.next_line()
                if line is not None:
                    take(line)
                gate = cluster.gate_reached()
                if gate is not None:
                    if gate == "half":
                        note(f"[launcher] killing {victims[options.kill].name}")
                        victims[options.kill].kill()
                    cluster.open_gate()
                for process in cluster.look_after():
                    note(f"[launcher] starting {process.name} again")
        finally:
            cluster.end()
            remove_partial_checkpoints(directory)
        # The chief may be seen to have ended before its last lines are.
        for line in iter(cluster.next_line, None):
            take(line)
    return cluster.processes


def take(line: Line) -> None:
    note(f"[{line.process.name}] {line.text}")
    line.process.note(line)


def remove_partial_checkpoints(directory: Path) -> None:
    """Removes what a process that was killed while it wrote a checkpoint has left."""
    for partial in [path for path in directory.iterdir() if PARTIAL.fullmatch(path.name)]:
        if partial.is_dir():
            shutil.rmtree(str(partial), ignore_errors=True)
        else:
            partial.unlink()


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace, directory: Path) -> Result:
    """Restores the last checkpoint into a fresh graph for inference, on this process alone."""
    import tensorflow.compat.v1 as tf
    from train_digits import accuracy, restored_logits

    support.quiet(tf)
    tf.disable_v2_behavior()
    held_out = load_digits().held_out
    reader = tf.train.load_checkpoint(str(directory))
    return Result(
        int(reader.get_tensor("global_step")),
        [int(count) for count in reader.get_tensor("updates_by_worker")],
        accuracy(restored_logits(directory, held_out, options), held_out.labels),
    )


def report(processes: list[Process], result: Result) -> None:
    """Prints what each process reported beside what the last checkpoint holds of it.

    A fault makes the two differ: a killed process reported late, and steps after the checkpoint
    that was restored are lost.
    """
    rows = [["process", "starts", "steps reported", "updates kept"]]
    for process in processes:
        rows.append([process.name, str(process.starts), str(sum(process.steps)), "-"])
    rows[1][2] = "-"
    rows[2][0] += " (chief)"
    for row, count in zip(rows[2:], result.updates_by_worker):
        row[3] = str(count)
    total = sum(sum(process.steps) for process in processes)
    rows.append(["together", "", str(total), str(sum(result.updates_by_worker))])
    print(support.table(rows))
    print(f"global step of the last checkpoint: {result.global_step}")
    print(f"held-out accuracy in inference mode, restored: {support.percent(result.accuracy)}")


def leave(number: int, frame: Any) -> None:
    """Ends the processes and removes the temporary directory, whatever is pressed meanwhile."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(EXIT_TERMINATED)


def main() -> None:
    options = parse_options()
    signal.signal(signal.SIGTERM, leave)
    # A program that a shell runs in the background has Ctrl-C switched off.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, leave)
    batches = options.epochs * (len(load_digits().training.labels) // options.batch_size)
    # In synchronous training each global step takes a batch of every worker.
    steps = max(1, batches // WORKERS) if options.sync else batches
    with support.output_directory(options.checkpoint_dir) as directory:
        started = time.monotonic()
        try:
            processes = run_cluster(options, steps, directory)
        except ClusterError as error:
            note(f"train_digits_cluster.py: error: {error}")
            sys.exit(EXIT_FAILED)
        seconds = time.monotonic() - started
        result = measure(options, directory)
    kind = "synchronous" if options.sync else "asynchronous"
    print(f"{kind} training, 1 ps and {WORKERS} workers: {seconds:.1f} s")
    report(processes, result)
    if options.checkpoint_dir is not None:
        print(f"checkpoints: {options.checkpoint_dir}")


if __name__ == "__main__":
    support.run(main)
