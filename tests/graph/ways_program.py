"""Differentiates every kernel in every way of one kind, and writes what it found.

`python -m tests.graph.ways_program KIND FILE`; KIND is a key of PROGRAMS. The file has for each
`kernel | way | phase` the arrays that it gave, or the text of what it raised.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
import traceback
from typing import Any, Callable

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_bn
from tests.graph.ways_cases import KERNELS, REFUSED_V2, STILL, data_of, pairs

JIT = (
    "jit_compile"
    if tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 5)
    else "experimental_compile"
)


class Found:
    """What each pair gave, under its name."""

    def __init__(self) -> None:
        self.values: dict = {}

    def put(self, name: str, values: Any) -> None:
        if isinstance(values, Exception):
            self.values[f"{name} | error"] = np.array(f"{type(values).__name__}: {values}")
            return
        for number, value in enumerate(values):
            self.values[f"{name} | {number}"] = np.asarray(value)

    def attempt(self, name: str, run: Callable[[], Any]) -> Any:
        """What `run` returns, or None, and then its error has been put."""
        try:
            found = run()
            if any(value is None for value in found):
                raise AssertionError("there is a gradient of None")
            return found
        except Exception as error:
            if os.environ.get("WAYS_TRACEBACK"):
                print(name, file=sys.stderr)
                traceback.print_exc()
            self.put(name, error)
            return None


class Subject:
    """A layer of one kernel, whose variables stand outside of what it is called in."""

    def __init__(self, kernel: str, training: Any) -> None:
        self.kernel, self.case, self.data = kernel, KERNELS[kernel], data_of(kernel)
        self.training = training
        options = dict(self.case.options)
        if self.case.adjustment:
            scale, offset = (
                value.astype("float32") for value in (self.data.scale, self.data.offset)
            )
            options["adjustment"] = lambda shape: (tf.constant(scale), tf.constant(offset))
        self.layer = tf1_bn.BatchNormalization(
            gamma_initializer=tf.constant_initializer(self.data.gamma),
            beta_initializer=tf.constant_initializer(self.data.beta),
            name="bn",
            **{**STILL, **options},
        )
        self.x = self.data.x.astype("float32")
        self.weights = self.data.weights.astype("float32")
        self.direction = self.data.direction.astype("float32")

    def check_kernel(self) -> None:
        """That the layer has been built with the kernel that the case is named after."""
        assert self.case.why in str(self.layer.kernel), (self.kernel, self.layer.kernel)

    def build(self) -> None:
        with tf.variable_scope(tf.get_variable_scope(), use_resource=True):
            # TF 1.15 folds no ghosts of an unknown batch.
            batch = None if self.case.parts else self.case.shape[0]
            self.layer.build([batch, *self.case.shape[1:]])

    @property
    def variables(self) -> list:
        return [self.layer.gamma, self.layer.beta]

    def part(self, rows: slice) -> Subject:
        """The same layer with some rows of the batch."""
        found = copy.copy(self)
        found.x, found.direction = self.x[rows], self.direction[rows]
        found.weights = self.weights[:, rows]
        return found

    def outputs(self, x: Any, flag: Any = None) -> Any:
        training = self.training if flag is None else flag
        if self.kernel != "towers":
            return self.layer(x, training=training)
        with tf1_bn.cross_replica():
            towers = tf1_bn.run_towers(
                lambda part: self.layer(part, training=training),
                tf.split(x, list(self.case.parts)),
            )
        return tf.concat(towers, 0)

    def loss(self, x: Any, flag: Any = None, number: int = 0) -> Any:
        return tf.reduce_sum(tf.sin(self.outputs(x, flag)) * self.weights[number])

    def losses(self, x: Any, flag: Any = None) -> Any:
        outputs = tf.sin(self.outputs(x, flag))
        return tf.stack([tf.reduce_sum(outputs * one) for one in self.weights])

    def penalty(self, slope: Any) -> Any:
        return tf.reduce_sum(slope * self.direction)


def by_gradients(s: Subject, x: Any, flag: Any = None) -> list:
    return tf.gradients(s.loss(x, flag), [x, *s.variables])


def by_gradients_twice(s: Subject, x: Any, flag: Any = None) -> list:
    (slope,) = tf.gradients(s.loss(x, flag), [x])
    return tf.gradients(s.penalty(slope), [x, *s.variables])


def by_tape(s: Subject, x: Any, flag: Any = None) -> list:
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = s.loss(x, flag)
    return tape.gradient(loss, [x, *s.variables])


def by_nested_tapes(s: Subject, x: Any, flag: Any = None) -> list:
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = s.loss(x, flag)
        penalty = s.penalty(inner.gradient(loss, x))
    return outer.gradient(penalty, [x, *s.variables])


def by_tape_over_gradients(s: Subject, x: Any, flag: Any = None) -> list:
    with tf.GradientTape() as tape:
        tape.watch(x)
        (slope,) = tf.gradients(s.loss(x, flag), [x])
        penalty = s.penalty(slope)
    return tape.gradient(penalty, [x, *s.variables])


def by_gradients_over_tape(s: Subject, x: Any, flag: Any = None) -> list:
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = s.loss(x, flag)
    return tf.gradients(s.penalty(tape.gradient(loss, x)), [x, *s.variables])


def by_recompute(s: Subject, x: Any, flag: Any = None) -> list:
    again = tf.recompute_grad(lambda x: s.outputs(x, flag))
    loss = tf.reduce_sum(tf.sin(again(x)) * s.weights[0])
    return tf.gradients(loss, [x, *s.variables])


def by_recompute_under_a_tape(s: Subject, x: Any, flag: Any = None) -> list:
    again = tf.recompute_grad(lambda x: s.outputs(x, flag))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.sin(again(x)) * s.weights[0])
    return tape.gradient(loss, [x, *s.variables])


def by_hessians(s: Subject, x: Any, flag: Any = None) -> list:
    return tf.hessians(s.loss(x, flag), [s.layer.gamma])


def by_jacobian(s: Subject, x: Any, flag: Any = None) -> list:
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        losses = s.losses(x, flag)
    return tape.jacobian(losses, [x, *s.variables])


def by_jacobian_of_gradient(s: Subject, x: Any, flag: Any = None) -> list:
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = s.loss(x, flag)
        slope = inner.gradient(loss, s.layer.gamma)
    return [outer.jacobian(slope, s.layer.gamma)]


def by_vectorized_map(s: Subject, x: Any, flag: Any = None) -> list:
    """The gradients of the first loss at the batch and at two others."""

    def one(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = s.loss(x, flag)
        return tape.gradient(loss, x)

    return [tf.vectorized_map(one, tf.stack([x, x * 0.5, x * 2.0]))[0]]


def in_place(way: Callable) -> Callable:
    def updating(s: Subject, x: Any, flag: Any = None) -> Any:
        with tf1_bn.updates("in_place"):
            return way(s, x, flag)

    return updating


GRAPH_WAYS = {
    "tf.gradients": by_gradients,
    "tf.gradients twice": by_gradients_twice,
    "hessians": by_hessians,
    "in place, tf.gradients": in_place(by_gradients),
    "tape": by_tape,
    "nested tapes": by_nested_tapes,
    "tape over tf.gradients": by_tape_over_gradients,
    "tf.gradients over tape": by_gradients_over_tape,
    "recompute_grad": by_recompute,
    "jacobian": by_jacobian,
    "jacobian of gradient": by_jacobian_of_gradient,
    "in place, tape": in_place(by_tape),
}


def in_graphs(found: Found, phases: dict) -> None:
    for phase, make_flag in phases.items():
        wanted: dict = {}
        for kernel, way, of in pairs("graph"):
            if of == phase:
                wanted.setdefault(kernel, []).append(way)
        for kernel, ways in wanted.items():
            with tf.Graph().as_default() as graph:
                _in_one_graph(found, Subject(kernel, make_flag()), ways, phase, graph)


def _in_one_graph(found: Found, subject: Subject, ways: list, phase: str, graph: Any) -> None:
    subject.build()
    x = tf.placeholder(tf.float32, subject.x.shape)
    fetches = {}
    for way in ways:
        name = f"{subject.kernel} | {way} | {phase}"
        tensors = found.attempt(name, functools.partial(GRAPH_WAYS[way], subject, x))
        if tensors is not None:
            fetches[name] = tensors
    subject.check_kernel()
    with _session(graph) as session:
        session.run(tf.global_variables_initializer())
        for name, tensors in fetches.items():
            values = found.attempt(name, lambda t=tensors: session.run(t, {x: subject.x}))
            if values is not None:
                found.put(name, values)


def _session(graph: Any) -> Any:
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    # Which would take most of the time.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(graph=graph, config=config)


def graph_v1(found: Found) -> None:
    tf.disable_v2_behavior()
    in_graphs(found, {"True": lambda: True, "fed, v1": _fed})


def graph_v2(found: Found) -> None:
    tf.disable_v2_behavior()
    tf.enable_control_flow_v2()
    in_graphs(found, {"fed, v2": _fed})
    for way in REFUSED_V2:
        with tf.Graph().as_default():
            name = f"a sine | {way} | fed, v2"
            x = tf.placeholder(tf.float32, [4, 3])
            found.attempt(name, functools.partial(GRAPH_WAYS[way], Sine(), x))


class Sine:
    """What a subject is asked for, without a layer: sin(gamma * x) behind a conditional."""

    def __init__(self) -> None:
        with tf.variable_scope("sine", use_resource=True):
            self.gamma = tf.get_variable("gamma", [3])
        self.layer, self.variables = self, [self.gamma]

    def loss(self, x: Any, flag: Any = None) -> Any:
        scaled = tf.cond(_fed(), lambda: tf.sin(self.gamma * x) * x, lambda: self.gamma * x)
        return tf.reduce_sum(tf.sin(scaled))

    def penalty(self, slope: Any) -> Any:
        return tf.reduce_sum(tf.square(slope))


def _fed() -> Any:
    return tf.placeholder_with_default(True, [])


def _inside(way: Callable, **options: Any) -> Callable:
    """The whole way in a `tf.function`."""

    def run(s: Subject, x: Any, flag: Any) -> Any:
        if flag is None:
            return tf.function(lambda x: way(s, x), autograph=False, **options)(x)
        return tf.function(lambda x, flag: way(s, x, flag), autograph=False, **options)(x, flag)

    return run


def _around(way: Callable) -> Callable:
    """The way in eager execution, and only the loss in a `tf.function`."""

    def run(s: Subject, x: Any, flag: Any) -> Any:
        return way(_Called(s, flag is not None), x, flag)

    return run


class _Called:
    """A subject whose loss is a `tf.function`."""

    def __init__(self, subject: Subject, fed: bool) -> None:
        self.layer, self.variables, self.penalty = subject.layer, subject.variables, subject.penalty
        for name in ("loss", "losses"):
            made = getattr(subject, name)
            one = (
                (lambda x, flag, made=made: made(x, flag))
                if fed
                else (lambda x, flag, made=made: made(x))
            )
            setattr(self, name, tf.function(one, autograph=False))


def both_sides(s: Subject, x: Any, flag: Any) -> list:
    """One tape in the function and one around it."""
    slope = tf.function(lambda x, flag: by_tape(s, x, flag)[0], autograph=False)
    with tf.GradientTape() as tape:
        tape.watch(x)
        penalty = s.penalty(slope(x, flag))
    return tape.gradient(penalty, [x, *s.variables])


def checked(way: Callable) -> Callable:
    def run(s: Subject, x: Any, flag: Any) -> Any:
        tf.debugging.enable_check_numerics()
        try:
            return way(s, x, flag)
        finally:
            tf.debugging.disable_check_numerics()

    return run


FUNCTION_WAYS = {
    "tape inside": _inside(by_tape),
    "tape outside": _around(by_tape),
    "nested inside": _inside(by_nested_tapes),
    "nested outside": _around(by_nested_tapes),
    "tapes on both sides": both_sides,
    "gradients inside": _inside(by_gradients),
    "gradients twice": _inside(by_gradients_twice),
    "tape over gradients": _inside(by_tape_over_gradients),
    "gradients over tape": _inside(by_gradients_over_tape),
    "recompute inside": _inside(by_recompute_under_a_tape),
    "jacobian inside": _inside(by_jacobian),
    "jacobian outside": _around(by_jacobian),
    "jacobian of gradient inside": _inside(by_jacobian_of_gradient),
    "vectorized_map": _inside(by_vectorized_map),
    "check_numerics": checked(_inside(by_tape)),
    "check_numerics, gradients": checked(_inside(by_gradients)),
    "jit_compile": _inside(by_tape, **{JIT: True}),
}


def _evaluated(way: Callable, s: Subject, flag: Any) -> list:
    return [value.numpy() for value in way(s, tf.constant(s.x), flag)]


def functions(found: Found) -> None:
    tf.enable_v2_behavior()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    subjects: dict = {}
    for kernel, way, phase in pairs("function"):
        if kernel not in subjects:
            subjects[kernel] = Subject(kernel, True)
            tf.wrap_function(subjects[kernel].build, [])
        if "check_numerics" in way and not hasattr(tf.debugging, "enable_check_numerics"):
            continue
        subject, flag = subjects[kernel], None if phase == "True" else tf.constant(True)
        name = f"{kernel} | {way} | {phase}"
        run = functools.partial(_evaluated, FUNCTION_WAYS[way], subject, flag)
        values = found.attempt(name, run)
        if values is not None:
            found.put(name, values)
    for subject in subjects.values():
        subject.check_kernel()


def replicas_in_graphs(found: Found) -> None:
    """Inside of `strategy.run` in a plain graph."""
    tf.disable_v2_behavior()
    for phase, make_flag in (("True", lambda: True), ("fed, v1", _fed)):
        for way in REPLICA_WAYS:
            with tf.Graph().as_default():
                name = f"replicas | {way} | {phase}"
                values = found.attempt(
                    name, functools.partial(_graph_of_replicas, REPLICA_WAYS[way], make_flag())
                )
                if values is not None:
                    found.put(name, values)


def _graph_of_replicas(way: Callable, flag: Any) -> list:
    subject = Subject("replicas", flag)
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    with strategy.scope():
        subject.build()
        fetches = _of_replicas(subject, way, strategy, None)
    config = tf.ConfigProto(device_count={"CPU": 2})
    with tf.Session(config=config) as session:
        session.run(tf.global_variables_initializer())
        return _whole(session.run(fetches))


def replicas_in_functions(found: Found) -> None:
    """A `tf.function` around `strategy.run`, the tape inside of that."""
    tf.enable_v2_behavior()
    experimental = tf.config.experimental
    experimental.set_virtual_device_configuration(
        experimental.list_physical_devices("CPU")[0],
        [experimental.VirtualDeviceConfiguration() for _ in range(2)],
    )
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    subject = Subject("replicas", True)
    with strategy.scope():
        tf.wrap_function(subject.build, [])
    for _, way, phase in pairs("replicas_function"):
        flag = None if phase == "True" else tf.constant(True)
        run = functools.partial(_function_of_replicas, subject, REPLICA_WAYS[way], strategy, flag)
        name = f"replicas | {way} | {phase}"
        values = found.attempt(name, run)
        if values is not None:
            found.put(name, values)


def _function_of_replicas(s: Subject, way: Callable, strategy: Any, flag: Any) -> list:
    def step(flag: Any) -> list:
        return _of_replicas(s, way, strategy, flag)

    found = tf.function(step, autograph=False)(flag)
    return _whole([[value.numpy() for value in values] for values in found])


def _of_replicas(s: Subject, way: Callable, strategy: Any, flag: Any) -> list:
    """The derivatives that each replica finds, one list for each derivative."""
    ends = np.cumsum([0, *s.case.parts])

    def step() -> Any:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = int(tf.get_static_value(number) if tf.is_tensor(number) else number)
        part = s.part(slice(ends[number], ends[number + 1]))
        with tf1_bn.cross_replica():
            return way(part, tf.constant(part.x), flag)

    run = getattr(strategy, "run", None) or strategy.experimental_run_v2
    return [list(strategy.experimental_local_results(value)) for value in run(step)]


def _whole(found: list) -> list:
    """One batch of the replicas' inputs; their shares of the parameters' gradients add up."""
    return [np.concatenate(found[0]), *(sum(values) for values in found[1:])]


REPLICA_WAYS = {
    "tf.gradients": by_gradients,
    "tf.gradients twice": by_gradients_twice,
    "tape": by_tape,
    "nested tapes": by_nested_tapes,
    "tape over tf.gradients": by_tape_over_gradients,
    "tf.gradients over tape": by_gradients_over_tape,
}
PROGRAMS = {
    "graph": graph_v1,
    "graph_v2": graph_v2,
    "function": functions,
    "replicas": replicas_in_graphs,
    "replicas_function": replicas_in_functions,
}


def main(kind: str, path: str) -> None:
    found = Found()
    PROGRAMS[kind](found)
    np.savez(path, **{name.replace("/", "%"): value for name, value in found.values.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
