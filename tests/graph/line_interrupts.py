"""Interrupts builds at chosen lines of the package, and tells what is left behind.

`python -m tests.graph.line_interrupts 500` spreads so many over all lines that the builds execute.
"""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import numpy as np

import tf1_bn
from tests.conftest import make_session
from tests.graph.support import Snapshot, distinct, set_distinct_state, tf

PACKAGE = str(Path(tf1_bn.__file__).parent)


class LineTrace:
    """Counts the lines executed inside the package, and raises KeyboardInterrupt at the n-th."""

    def __init__(self, at: int = 0) -> None:
        self.count, self._at = 0, at
        self.place = ""

    def __enter__(self) -> LineTrace:
        threading.settrace(self._enter_frame)
        sys.settrace(self._enter_frame)
        return self

    def __exit__(self, *_: Any) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]

    def _enter_frame(self, frame: Any, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _line(self, frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self._at:
                self.place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self._line


def _inputs() -> Any:
    return tf.constant(distinct(6, 5))


def functional() -> Any:
    return tf1_bn.batch_normalization(
        _inputs(), training=True, gamma_regularizer=lambda v: 0.5 * tf.reduce_sum(v)
    )


def renorm_layer() -> Any:
    with tf.variable_scope("net"):
        phase = tf.placeholder_with_default(True, [])
        return tf1_bn.BatchNormalization(renorm=True, name="bn")(_inputs(), training=phase)


def contrib_layer() -> Any:
    return tf1_bn.contrib.batch_norm(tf.reshape(_inputs(), [3, 1, 2, 5]), scale=True)


def contrib_debiased() -> Any:
    return tf1_bn.contrib.batch_norm(_inputs(), zero_debias_moving_mean=True)


def merged_towers() -> Any:
    def model(x: Any) -> Any:
        with tf1_bn.cross_replica():
            y = tf1_bn.batch_normalization(x, training=True, name="a")
            return tf1_bn.batch_normalization(y * y, training=True, name="b")

    x = _inputs()
    return tf.concat(tf1_bn.run_towers(model, [x[:2], x[2:]]), 0)


BUILDS = (functional, renorm_layer, contrib_layer, contrib_debiased, merged_towers)


def lines_of(build: Callable[[], Any]) -> int:
    """How many lines of the package a build executes."""
    with tf.Graph().as_default(), LineTrace() as trace:
        build()
    return trace.count


def trained(graph: Any, y: Any) -> tuple:
    """The output, and the variables after one step, by name."""
    with make_session(graph) as session:
        set_distinct_state(session)
        output, _ = session.run([y, graph.get_collection(tf.GraphKeys.UPDATE_OPS)])
        return output, session.run({v.op.name: v for v in tf.global_variables()})


def clean(build: Callable[[], Any]) -> tuple:
    """The lengths of collections, and what `trained` gives, of a build that nothing interrupts."""
    with tf.Graph().as_default() as graph:
        y = build()
        return _counts(graph), trained(graph, y)


def faults(build: Callable[[], Any], at: int, expected: tuple) -> list[str]:
    """What is wrong after a build was interrupted at its n-th line, and repeated."""
    found = []
    with tf.Graph().as_default() as graph:
        before, threads = Snapshot.of(graph).collections, threading.active_count()
        trace = LineTrace(at)
        try:
            with trace:
                build()
            # As of a line that Python runs when it throws an object away.
            return [f"{trace.place}: nothing was raised"] if trace.place else []
        except KeyboardInterrupt:
            pass
        if threading.active_count() != threads:
            found.append(f"threads: {threading.enumerate()}")
        if Snapshot.of(graph).collections != before:
            found.append(f"collections: {Snapshot.of(graph).collections}")
        if tf.get_variable_scope().name or graph.get_name_scope():
            found.append(f"open scopes: {tf.get_variable_scope().name!r}")
        try:
            y = build()
            counts, (output, state) = _counts(graph), trained(graph, y)
        except Exception as error:
            return [*found, f"repeated: {type(error).__name__}: {error}"]
    if counts != expected[0]:
        found.append(f"counts: {counts} instead of {expected[0]}")
    wanted, after = expected[1]
    if not np.array_equal(output, wanted):
        found.append("another output")
    if set(state) != set(after) or any(not np.array_equal(state[n], after[n]) for n in after):
        found.append(f"other variables: {sorted(state)}")
    return [f"{trace.place}: {fault}" for fault in found]


def spread(build: Callable[[], Any], count: int) -> list[int]:
    """So many numbers of lines, from the first to the last."""
    return sorted({int(n) for n in np.linspace(1, lines_of(build), count)})


def _counts(graph: Any) -> dict:
    return {key: len(graph.get_collection(key)) for key in graph.get_all_collection_keys()}


def main(count: int) -> None:
    total = wrong = 0
    for build in BUILDS:
        expected = clean(build)
        for at in spread(build, count // len(BUILDS)):
            total += 1
            found = faults(build, at, expected)
            wrong += bool(found)
            for fault in found:
                print(f"{build.__name__} at {at}: {fault}"[:400])
        gc.collect()
    print(f"{total} interrupted builds, {wrong} with faults")


if __name__ == "__main__":
    main(int(sys.argv[1]))
