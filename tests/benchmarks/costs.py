"""What a layer costs besides time per step: ops, building, importing, peak memory."""

from __future__ import annotations

import gc
import inspect
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

from tests.benchmarks import build
from tests.benchmarks.build import OURS, PEER, tf

ROOT = Path(__file__).resolve().parents[2]
FLAGS: Mapping[str, Any] = {"constant": True, "dynamic": None}
KINDS: Mapping[str, tuple[int, ...]] = {"conv": (8, 14, 14, 32), "dense": (64, 32)}
NETS = ("dense", "conv", "sequence", "renorm", "ghost")
NET_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "renorm": {"renorm": True},
    "ghost": {"virtual_batch_size": 256},
}
VARIABLES, ALONE, NOTHING = "variables", "ops alone", "nothing"
STATISTICS = ("moving_mean", "moving_variance")
LAYERS, BUILDS = 20, 15

Layer = Callable[..., Any]


def contenders() -> dict[str, Layer]:
    found = {OURS: build.our_layer()}
    peer = build.peer_layer()
    if peer is not None:
        found[PEER] = peer
    return found


def ops_per_layer() -> dict[str, dict[str, int]]:
    """Nodes of one more layer, its variables' and those in functions included."""
    found: dict[str, dict[str, int]] = {}
    for kind, flag in _settings():
        for name, layer in contenders().items():
            more = _nodes(layer, kind, flag, 3) - _nodes(layer, kind, flag, 2)
            found.setdefault(f"{kind}, {flag}", {})[name] = more
    return found


def _settings() -> Iterable[tuple[str, str]]:
    return [(kind, flag) for kind in KINDS for flag in FLAGS]


def _nodes(layer: Layer, kind: str, flag: str, count: int) -> int:
    with tf.Graph().as_default() as graph:
        _stack(layer, kind, flag, count)
        definition = graph.as_graph_def()
    return len(definition.node) + sum(len(f.node_def) for f in definition.library.function)


def _stack(layer: Layer, kind: str, flag: str, count: int) -> None:
    x, training = _inputs(kind, flag)
    for _ in range(count):
        x = layer(x, training=training)


def _inputs(kind: str, flag: str) -> tuple[Any, Any]:
    training = tf.placeholder(tf.bool, []) if FLAGS[flag] is None else FLAGS[flag]
    return tf.zeros(KINDS[kind]), training


def build_time() -> dict[str, dict[str, float]]:
    """Milliseconds per layer, and of what none can do without.

    That is the four `get_variable` calls; and those with the layer's other ops, each made by one
    call of `tf.raw_ops` with nothing around it. Each setting's contenders take turns, many layers
    in a fresh graph each; medians.
    """
    found: dict[str, dict[str, float]] = {}
    for kind, flag in _settings():
        makers: dict[str, Layer] = {**contenders(), VARIABLES: _four_variables}
        makers[ALONE] = _ops_alone(kind, flag)
        times: dict[str, list[float]] = {name: [] for name in makers}
        for turn in range(BUILDS):
            for name, layer in list(makers.items())[:: -1 if turn % 2 else 1]:
                times[name].append(_seconds_to_build(layer, kind, flag))
        found[f"{kind}, {flag}"] = {
            name: 1e3 * statistics.median(taken[1:]) / LAYERS for name, taken in times.items()
        }
    return found


def _seconds_to_build(layer: Layer, kind: str, flag: str) -> float:
    # A collection in the middle would be that of other graphs.
    gc.collect()
    with tf.Graph().as_default():
        start = time.perf_counter()
        _stack(layer, kind, flag, LAYERS)
        return time.perf_counter() - start


def _four_variables(x: Any, training: Any) -> Any:
    """Exactly the variables of a layer, in a scope of their own."""
    with tf.variable_scope(None, default_name="batch_normalization"):
        _variables(x.shape.as_list()[-1])
    return x


def _variables(channels: int) -> dict[str, Any]:
    initial = {"gamma": tf.ones_initializer(), "beta": tf.zeros_initializer()}
    initial.update(moving_mean=tf.zeros_initializer(), moving_variance=tf.ones_initializer())
    return {
        name: tf.get_variable(name, [channels], initializer=made, trainable=name not in STATISTICS)
        for name, made in initial.items()
    }


def _ops_alone(kind: str, flag: str) -> Layer:
    """Makes the variables of our layer, and its other ops by the least that TensorFlow asks for."""
    with tf.Graph().as_default() as graph:
        inputs = _inputs(kind, flag)
        before = len(graph.get_operations())
        build.our_layer()(inputs[0], training=inputs[1])
        made = graph.get_operations()[before:]
    names = ("gamma", "beta", *STATISTICS)
    calls = [_call_of(op) for op in made if not any(f"/{name}" in op.name for name in names)]

    def layer(x: Any, training: Any) -> Any:
        with tf.variable_scope(None, default_name="batch_normalization"):
            variables = _variables(x.shape.as_list()[-1])
            tensors = {inputs[0].name: x}
            if FLAGS[flag] is None:
                tensors[inputs[1].name] = training
            for name, variable in variables.items():
                tensors[f"batch_normalization/{name}:0"] = variable
                tensors[f"batch_normalization/{name}/read:0"] = variable.value()
            for function, attributes, arguments, outputs in calls:
                values = {key: _among(tensors, wanted) for key, wanted in arguments.items()}
                result = function(**attributes, **values)
                results = result if isinstance(result, (list, tuple)) else [result]
                tensors.update(zip(outputs, results))
        return x

    return layer


def _call_of(op: Any) -> tuple[Callable[..., Any], dict[str, Any], dict[str, Any], list[str]]:
    """The function of `tf.raw_ops` that makes `op`, its attributes, and its inputs by name."""
    function = getattr(tf.raw_ops, op.type)
    left = iter(tensor.name for tensor in op.inputs)
    arguments: dict[str, Any] = {}
    inferred = set()
    # Python's names of inputs are not always the op's, their order is.
    for name, argument in zip(inspect.signature(function).parameters, op.op_def.input_arg):
        inferred |= {argument.type_attr, argument.number_attr, argument.type_list_attr}
        many = argument.number_attr or argument.type_list_attr
        arguments[name] = list(left) if many else next(left)
    attributes = {
        each.name: op.get_attr(each.name) for each in op.op_def.attr if each.name not in inferred
    }
    outputs = [tensor.name for tensor in op.outputs]
    return function, attributes, arguments, outputs


def _among(tensors: Mapping[str, Any], wanted: Any) -> Any:
    if isinstance(wanted, list):
        return [tensors[name] for name in wanted]
    return tensors[wanted]


def import_time(rounds: int = 5) -> dict[str, dict[str, float]]:
    """Milliseconds in a fresh process that has TensorFlow: the import, and up to a built layer.

    Medians of several processes, which take turns.
    """
    calls = {OURS: ("import tf1_bn", "tf1_bn.batch_normalization(x, training=True)")}
    if build.peer_layer() is not None:
        peer = "tf.layers.batch_normalization"
        calls[PEER] = (peer, f"{peer}(x, training=True)")
    taken: dict[str, list[list[float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (first, call) in calls.items():
            code = _IMPORT.format(first=first, call=call)
            taken[name].append([float(word) for word in _python("-c", code).split()])
    return {
        what: {name: statistics.median(row[column] for row in rows) for name, rows in taken.items()}
        for column, what in enumerate(("import", "import and first layer"))
    }


_IMPORT = """
import time
import tensorflow.compat.v1 as tf
tf.disable_v2_behavior()
x = tf.zeros([8, 4])
start = time.perf_counter()
{first}
imported = time.perf_counter()
{call}
print(1e3 * (imported - start), 1e3 * (time.perf_counter() - start))
"""


def peak_memory() -> dict[str, dict[str, float]]:
    """Peak MB of a training step of a deep net, above the net without normalization.

    Resident memory of a process, because TensorFlow keeps no statistics of its CPU allocator and
    oneDNN's scratch space would not be in them. Large blocks go back to the system when freed
    (MALLOC_MMAP_THRESHOLD_), and ops run one after the other, so the peak is that of live bytes.
    """
    found: dict[str, dict[str, float]] = {}
    for net in NETS:
        peaks = {
            name: float(_python("-m", "tests.benchmarks.costs", net, name))
            for name in (NOTHING, *contenders())
        }
        without = peaks.pop(NOTHING)
        found[net] = {name: peak - without for name, peak in peaks.items()}
    return found


def step_peak(net: str, name: str) -> float:
    """Peak MB of a training step of one net in this process, above what was there before it."""
    layer = contenders().get(name, _nothing)
    with tf.Graph().as_default() as graph:
        step = _deep_net(net, layer)
        one = tf.ConfigProto(inter_op_parallelism_threads=1)
        with tf.Session(graph=graph, config=one) as session:
            session.run(tf.global_variables_initializer())
            before = _reset_peak()
            run = session.make_callable(step)
            for _ in range(3):
                run()
            return _peak() - before


def _nothing(x: Any, **_: Any) -> Any:
    return x


def _deep_net(net: str, layer: Layer, depth: int = 12) -> list[Any]:
    """`depth` times normalization and ReLU, with a weight between them, and one step of descent."""
    shape = {"conv": (16, 28, 28, 64), "sequence": (32, 100, 256)}.get(net, (2048, 512))
    options: Mapping[str, Any] = NET_OPTIONS.get(net, {})
    x = tf.random_normal(shape, seed=build.SEED)
    for number in range(depth):
        weight = tf.get_variable(f"weight{number}", [shape[-1]], initializer=tf.ones_initializer())
        x = tf.nn.relu(layer(x * weight, training=True, **options))
    loss = tf.reduce_mean(tf.square(x))
    train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    return [train, *(getattr(op, "op", op) for op in updates)]


def _reset_peak() -> float:
    """Forgets the peak so far and returns the MB now resident."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def _python(*arguments: str) -> str:
    environment = dict(os.environ, MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=environment,
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


MEASURES: Mapping[str, Callable[[], Any]] = {
    "ops": ops_per_layer,
    "build": build_time,
    "memory": peak_memory,
    "import": import_time,
}


if __name__ == "__main__":
    build.use_graph_mode()
    print(step_peak(*sys.argv[1:]))
