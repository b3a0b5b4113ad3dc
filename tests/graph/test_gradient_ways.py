"""Derivatives do not depend on who takes them: every kernel, in every way, against float64.

Each kind of program runs in a process of its own, once, since eager execution and control flow v2
hold for a whole process; a test looks at one kernel and one way in what it has written.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests import forked
from tests.conftest import tensorflow, tf_version
from tests.graph.ways_cases import (
    EXPORTED,
    HESSIANS,
    JACOBIANS,
    OF_REPLICAS,
    OLD,
    REFUSED_V2,
    SECOND,
    Derivatives,
    Truth,
    data_of,
    pairs,
    truth_of,
)
from tests.legacy import process
from tests.tolerances import assert_close

tf = tensorflow()
DATA = Path(__file__).with_name("data")
truth = functools.lru_cache(maxsize=None)(truth_of)


def _run(folder: Path, *arguments: str, anew: bool = False) -> str:
    """Runs a module of this project in a fork, or in a new process; what it prints."""
    python = process.python if anew else forked.python
    ended = python("-m", *arguments, cwd=folder, TF1_BN_TEST_V2="0")
    assert ended.code == 0, ended.err
    return ended.out


def _results(factory: Any, kind: str) -> dict:
    folder = factory.mktemp(kind)
    _run(folder, "tests.graph.ways_program", kind, "found.npz")
    with np.load(str(folder / "found.npz")) as found:
        return dict(found)


@pytest.fixture(scope="module")
def of_graphs(tmp_path_factory: Any) -> dict:
    """What plain graphs gave, with control flow v1 and v2."""
    return {**_results(tmp_path_factory, "graph"), **_results(tmp_path_factory, "graph_v2")}


@pytest.fixture(scope="module")
def of_functions(tmp_path_factory: Any) -> dict:
    """What functions gave under eager execution."""
    return _results(tmp_path_factory, "function")


@pytest.fixture(scope="module")
def of_replicas(tmp_path_factory: Any) -> dict:
    """What replicas gave, in plain graphs and in functions."""
    found = _results(tmp_path_factory, "replicas")
    of_functions = _results(tmp_path_factory, "replicas_function")
    return {**found, **{f"function: {name}": value for name, value in of_functions.items()}}


def _by_kernel_and_way(kind: str) -> list:
    found: dict = {}
    for kernel, way, phase in pairs(kind):
        found.setdefault((kernel, way), []).append(phase)
    return [(*pair, phases) for pair, phases in found.items()]


def _wanted(way: str, truth: Truth) -> list:
    if way in HESSIANS:
        return [np.diag(truth.hessian)]
    if way in JACOBIANS:
        return [np.stack([getattr(one, of) for one in truth.first]) for of in Derivatives._fields]
    if way == "vectorized_map":
        return [truth.first[0].x]
    return list(truth.second if way in SECOND else truth.first[0])


def _phases_here(way: str, phases: list) -> list:
    """The phases in which TensorFlow has the way, for any ops at all; skips where there are none.

    TensorFlow 1.15 fails for nested tapes over its functional `tf.cond` with an AssertionError,
    for a `tf.vectorized_map` in a function with a placeholder of its own, and for a jacobian of
    an `If`, which it has no converter for.
    """
    if tf_version() < (2, 0):
        if "check_numerics" in way or way == "vectorized_map":
            pytest.skip(f"tf_min 2.0: {way} is not there, or fails for any op")
        if way.startswith("nested"):
            phases = [phase for phase in phases if phase in ("True", "fed, v1")]
        if way == "jacobian":
            phases = [phase for phase in phases if phase != "fed, v2"]
    return phases


def _check(found: dict, kernel: str, way: str, phase: str, prefix: str = "") -> None:
    name = f"{prefix}{kernel} | {way} | {phase}"
    assert f"{name} | error" not in found, str(found[f"{name} | error"])
    quantity = (
        ("second difference", "float32", "NumPy")
        if way in SECOND + HESSIANS
        else ("gradient", "float32", "large")
    )
    for number, want in enumerate(_wanted(way, truth(kernel))):
        assert_close(
            found[f"{name} | {number}"].reshape(want.shape), want, *quantity, f"{name} {number}"
        )


@pytest.mark.parametrize(("kernel", "way", "phases"), _by_kernel_and_way("graph"))
def test_in_a_graph(kernel: str, way: str, phases: list, of_graphs: dict) -> None:
    for phase in _phases_here(way, phases):
        _check(of_graphs, kernel, way, phase)


@pytest.mark.parametrize("way", REFUSED_V2)
def test_tensorflow_fails_for_what_is_left_out(way: str, of_graphs: dict) -> None:
    """Once it does not, the layers have to do it as well."""
    assert f"a sine | {way} | fed, v2 | error" in of_graphs


@pytest.mark.parametrize(("kernel", "way", "phases"), _by_kernel_and_way("function"))
def test_in_a_function(kernel: str, way: str, phases: list, of_functions: dict) -> None:
    for phase in _phases_here(way, phases):
        _check(of_functions, kernel, way, phase)


@pytest.mark.parametrize(("kernel", "way", "phases"), _by_kernel_and_way("replicas"))
def test_in_the_graph_of_a_replica(kernel: str, way: str, phases: list, of_replicas: dict) -> None:
    for phase in _phases_here(way, phases):
        _check(of_replicas, kernel, way, phase)


@pytest.mark.parametrize(("kernel", "way", "phases"), _by_kernel_and_way("replicas_function"))
def test_in_the_function_of_a_replica(
    kernel: str, way: str, phases: list, of_replicas: dict
) -> None:
    for phase in _phases_here(way, phases):
        _check(of_replicas, kernel, way, phase, "function: ")


@pytest.mark.parametrize("way", OF_REPLICAS[2:])
def test_a_tape_in_the_graph_of_a_replica_is_refused(way: str, of_replicas: dict) -> None:
    """It does not see the other replicas: without a word a third of the gradient would be lost."""
    said = str(of_replicas[f"replicas | {way} | True | error"])
    assert said.startswith("LookupError") and "statistics that are merged across them" in said
    said = str(of_replicas[f"replicas | {way} | fed, v1 | error"])
    assert "Use tf.gradients() instead" in said


@pytest.mark.parametrize("inside", [True, False])
def test_a_tape_in_a_tower_is_refused_and_tf_gradients_is_not(inside: bool, session: Any) -> None:
    """The second tower's tape would take the merged statistics for constants."""
    tf1_bn = importlib.import_module("tf1_bn")
    layer = tf1_bn.BatchNormalization(name="bn")
    layer.build([None, 5])

    def tower(x: Any, number: int) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
        # The thread of the first one has merged the statistics.
        by_tape = inside and number == 1
        return tape.gradient(loss, x) if by_tape else tf.gradients(loss, x)[0]

    xs = [tf.constant(data_of("towers").x[rows], tf.float32) for rows in (slice(7), slice(7, 11))]
    with tf1_bn.cross_replica():
        if inside:
            with pytest.raises(LookupError, match="in a tower cannot see the other towers"):
                tf1_bn.run_towers(tower, list(zip(xs, range(2))))
            return
        slopes = tf1_bn.run_towers(tower, list(zip(xs, range(2))))
    session.run(tf.global_variables_initializer())
    assert all(abs(slope).max() > 0 for slope in session.run(slopes))


@pytest.mark.parametrize("asked", ["inputs", "variables", "both", "recompute_grad"])
@pytest.mark.parametrize("merged", [True, False])
def test_a_tape_around_towers_is_refused(asked: str, merged: bool) -> None:
    """Each tower is built in a thread of its own, whose ops no tape around them sees."""
    tf1_bn = importlib.import_module("tf1_bn")
    xs = [tf.constant(data_of("towers").x[rows], tf.float32) for rows in (slice(7), slice(7, 11))]

    def model(x: Any) -> Any:
        # The phase is no float, so a tape has nothing to ask of it.
        y = tf1_bn.batch_normalization(x, name="bn", training=True)
        return {"y": y, "step": tf.constant(1)}

    def loss_of(*shards: Any) -> Any:
        # No tape watches ref variables.
        resource = asked != "inputs"
        scope = tf.variable_scope("", reuse=tf.AUTO_REUSE, use_resource=resource)
        with scope, tf1_bn.cross_replica() if merged else contextlib.nullcontext():
            ys = tf1_bn.run_towers(model, shards)
        return tf.add_n([tf.reduce_sum(tf.sin(y["y"])) for y in ys])

    with pytest.raises(LookupError, match="around `tf1_bn.run_towers` cannot see"):
        if asked == "recompute_grad":
            if tf_version() < (2, 0):
                pytest.skip("of TF 1.15 recompute_grad wants ref variables to be none")
            tf.gradients(tf.recompute_grad(loss_of)(*xs), xs)
        with tf.GradientTape() as tape:
            tape.watch([] if asked == "variables" else xs)
            loss = loss_of(*xs)
        variables = tf.trainable_variables()
        assert len(variables) == 2
        tape.gradient(loss, {"inputs": xs, "variables": variables}.get(asked, xs + variables))


class _Kept(dict):
    """A dict that can only be made of its own argument."""

    def __init__(self, y: Any) -> None:
        super().__init__(y=y)


class _Pair(NamedTuple):
    y: Any
    kind: str


_RESULTS: dict = {
    "list with a variable": lambda y, w: [y, w],
    "keys without an order": lambda y, w: {0: y, "loss": y, None: [y]},
    "named tuple": lambda y, w: _Pair(y, "kind"),
    "slices": lambda y, w: tf.IndexedSlices(y, tf.range(2), tf.constant([9, 2])),
    "sparse": lambda y, w: tf.SparseTensor([[0, 0], [1, 1]], y[:, 0], [2, 2]),
    "ragged": lambda y, w: tf.RaggedTensor.from_row_lengths(y, [2, 0]),
    "complex": lambda y, w: tf.complex(y, y),
}
_VALUES: dict = {
    "list with a variable": lambda found: found[0],
    "keys without an order": lambda found: found[None][0],
    "named tuple": lambda found: found.y,
    "slices": lambda found: found.values,
    "sparse": lambda found: found.values,
    "ragged": lambda found: found.flat_values,
    "complex": tf.real,
}


@pytest.mark.parametrize("kind", sorted(_RESULTS))
def test_a_tape_around_towers_is_refused_whatever_they_return(kind: str, session: Any) -> None:
    tf1_bn = importlib.import_module("tf1_bn")
    x = tf.constant([[1.0, 2.0], [3.0, 5.0]])

    def model(x: Any) -> Any:
        weight = tf.get_variable("w", initializer=tf.constant([3.0, 7.0]), use_resource=True)
        return _RESULTS[kind](x * x * weight, weight)

    with tf.GradientTape() as tape:
        (found,) = tf1_bn.run_towers(model, [x])
        (weight,) = tf.trainable_variables()
        loss = tf.reduce_sum(_VALUES[kind](found)) + 0.1 * tf.reduce_sum(weight)
    with pytest.raises(LookupError, match="around `tf1_bn.run_towers` cannot see"):
        tape.gradient(loss, weight)
    session.run(tf.global_variables_initializer())
    rows = [[1.0, 4.0], [9.0, 25.0]]
    want = np.array([10.1, 0.1]) if kind == "sparse" else np.sum(rows, axis=0) + 0.1
    np.testing.assert_allclose(session.run(tf.gradients(loss, weight)[0]), want, rtol=1e-6)


def test_objects_of_others_come_out_of_towers_as_they_are() -> None:
    tf1_bn = importlib.import_module("tf1_bn")
    given = {0: tf.constant([1.0]), "loss": tf.constant([2.0])}
    results: list = []

    def model(inputs: Any) -> Any:
        results.append(_Kept(inputs[0] * inputs["loss"]))
        return results[-1]

    assert tf1_bn.run_towers(model, [given])[0] is results[0]


def test_what_towers_return_is_passed_on(session: Any) -> None:
    """Each tensor alone: it needs no more to run than before, and tf.gradients goes through."""
    tf1_bn = importlib.import_module("tf1_bn")
    images, labels = tf.placeholder(tf.float32, [7]), tf.placeholder(tf.float32, [7])

    def model(x: Any, wanted: Any) -> Any:
        scale = tf.get_variable("scale", initializer=tf.constant(3.0), use_resource=True)
        return {"y": scale * x, "loss": tf.reduce_sum((scale * x - wanted) ** 2), "none": None}

    (found,) = tf1_bn.run_towers(model, [(images, labels)])
    session.run(tf.global_variables_initializer())
    values = np.arange(7.0)
    assert found["none"] is None
    np.testing.assert_array_equal(session.run(found["y"], {images: values}), 3 * values)
    slope = tf.gradients(found["loss"], tf.trainable_variables())[0]
    fed = {images: values, labels: values**2}
    want = (2 * values * (3 * values - values**2)).sum()
    np.testing.assert_allclose(session.run(slope, fed), want)

    def slopes(x: Any) -> Any:
        weight = tf.get_variable("weight", initializer=tf.constant(2.0), use_resource=True)
        return [(tf.gradients(weight * x, weight)[0], weight)]

    before = len(tf.get_default_graph().get_operations())
    ((slope, variable),) = tf1_bn.run_towers(slopes, [images])[0]
    made = tf.get_default_graph().get_operations()[before:]
    assert variable.name == "weight:0" and not [op for op in made if op.type == "PreventGradient"]
    np.testing.assert_array_equal(session.run(slope, {images: values}), 21.0)


def _check_exported(path: Path, may_refuse: bool) -> int:
    """Loss and gradients of all that a stranger has read; how many were refused."""
    refused = 0
    with np.load(str(path)) as file:
        found = dict(file)
    for kernel in EXPORTED:
        want = truth(kernel)
        loss = (data_of(kernel).weights[0] * np.sin(want.outputs)).sum()
        for phase in ("True", "fed"):
            name = f"{kernel} | {phase}"
            assert_close(found[f"{name} | loss"], loss, "gradient", "float32", "large", name)
            if f"{name} | error" in found:
                assert may_refuse and "import_tf1_bn" in str(found[f"{name} | error"])
                refused += 1
                continue
            for of in Derivatives._fields:
                slope = getattr(want.first[0], of)
                value = found[f"{name} | {of}"].reshape(slope.shape)
                assert_close(value, slope, "gradient", "float32", "large", f"{name} {of}")
    return refused


@pytest.fixture(scope="module")
def exported(tmp_path_factory: Any) -> Path:
    """A folder of graphs that another process has written."""
    folder: Path = tmp_path_factory.mktemp("graphs")
    _run(folder, "tests.graph.ways_export", "graphs", ".")
    return folder


@pytest.mark.parametrize("when", ["never", "before", "after"])
def test_a_graph_is_differentiated_elsewhere(when: str, exported: Path, tmp_path: Path) -> None:
    """By whoever imports tf1_bn at any time, and else right or with an error that names it."""
    file = tmp_path / "found.npz"
    program = ("tests.graph.ways_stranger", "graphs", str(exported), when, str(file))
    # In a fork TensorFlow's modules are there, whatever is imported before them.
    _run(tmp_path, *program, anew=when == "before")
    refused = _check_exported(file, when == "never")
    # The fused op's own gradient needs nobody.
    assert refused < 2 * len(EXPORTED)


def test_a_saved_model_is_differentiated_where_nobody_knows_tf1_bn(tmp_path: Path) -> None:
    _run(tmp_path, "tests.graph.ways_export", "models", ".")
    file = tmp_path / "found.npz"
    _run(tmp_path, "tests.graph.ways_stranger", "models", ".", "never", str(file))
    assert _check_exported(file, may_refuse=False) == 0


@pytest.mark.parametrize("kernel", sorted(OLD))
def test_a_graph_of_an_earlier_version_is_differentiated(kernel: str, session: Any) -> None:
    importlib.import_module("tf1_bn")
    tf.train.import_meta_graph(str(DATA / (kernel.replace(" ", "_") + ".meta")))
    x, loss = (session.graph.get_tensor_by_name(f"{name}:0") for name in ("x", "loss"))
    slopes = tf.gradients(loss, [x, *tf.trainable_variables()])
    session.run(tf.global_variables_initializer())

    found = session.run(slopes, {x: data_of(kernel).x})
    for value, want in zip(found, truth(kernel).first[0]):
        assert_close(value.reshape(want.shape), want, "gradient", "float32", "large")
