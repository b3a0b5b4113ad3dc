"""Builds one case with a given layer and notes its structure and its numbers.

The same code records real TF 1.15.5 (`tf.layers.*`) and tests ours (`tf1_bn.*`).
"""

from __future__ import annotations

import json
import warnings
from typing import Any, NamedTuple

import numpy as np

from tests.conformance.case import Case, Made
from tests.conformance.data import make_input, make_state, make_weights
from tests.conformance.phases import DYNAMIC, PHASES, Phase
from tests.conformance.programs import PROGRAMS
from tests.conftest import make_session, tensorflow

LEARNING_RATE = 0.125
FAMILIES = {
    "AssignSub": "assign_sub",
    "AssignSubVariableOp": "assign_sub",
    "Assign": "assign",
    "AssignVariableOp": "assign",
    "Merge": "conditional",
    "Identity": "conditional",
}
SCALAR_CONFIG = (
    "axis", "momentum", "epsilon", "center", "scale", "trainable", "renorm", "renorm_momentum",
    "renorm_clipping", "name",
)  # fmt: skip


class Candidate(NamedTuple):
    """An implementation under test."""

    label: str
    function: Any
    layer: Any


class Outcome(NamedTuple):
    """What a case showed: readable structure, and arrays by name."""

    structure: dict
    numbers: dict


def real_layer() -> Candidate:
    layers = tensorflow().layers
    return Candidate("tf.layers", layers.batch_normalization, layers.BatchNormalization)


def tf1_bn_layer() -> Candidate:
    import tf1_bn

    return Candidate("tf1_bn", tf1_bn.batch_normalization, tf1_bn.BatchNormalization)


class Build:
    """The bench a program works on: makes inputs, calls the layer, keeps what came out."""

    def __init__(self, candidate: Candidate, case: Case) -> None:
        self.tf = tensorflow()
        self.candidate = candidate
        self.case = case
        self.args = _made(self.tf, case.args)
        self.inputs: list = []
        self.feeds: list = []
        self.outputs: list = []
        self.output_shapes: list = []
        self.layers: list = []
        self.attributes: dict = {}
        self.updates_can_be_fetched = True
        self._phase: Phase | None = None

    @property
    def phase(self) -> Phase:
        if self._phase is None:
            self._phase = PHASES[self.case.training](self.tf)
        return self._phase

    def use_phase(self, placeholder: Any) -> None:
        """The phase is switched by a placeholder that came with an imported graph."""
        self._phase = Phase(placeholder, lambda session, training: {placeholder: training})

    def x(self, shape: Any = None) -> Any:
        """A new input of the case's dtype, by default of the case's shape."""
        tf, case = self.tf, self.case
        shape = case.shape if shape is None else shape
        static: Any = None
        if case.unknown != "rank":
            static = [None if axis in case.unknown else n for axis, n in enumerate(shape)]
        half = case.dtype in ("float16", "bfloat16")
        fed = tf.placeholder("float32" if half else case.dtype, static, name="x")
        self.feeds.append((fed, shape))
        self.inputs.append(tf.cast(fed, case.dtype) if half else fed)
        return self.inputs[-1]

    def bn(self, x: Any, training: Any = None, **changes: Any) -> Any:
        """Call the layer in the case's way; `changes` override the case's arguments."""
        kwargs = {**self.args, **changes}
        if training is None and self.case.training != "omitted":
            training = self.phase.value
        if self.case.entry == "class":
            layer = self.layer(**kwargs)
            y = layer(x) if self.case.training == "omitted" else layer(x, training=training)
        elif self.case.training == "omitted":
            y = self.candidate.function(x, **kwargs)
        else:
            y = self.candidate.function(x, training=training, **kwargs)
        return self.output(y, x)

    def layer(self, **kwargs: Any) -> Any:
        if "reuse" in kwargs:
            kwargs["_reuse"] = kwargs.pop("reuse")
        self.layers.append(self.candidate.layer(**kwargs))
        return self.layers[-1]

    def output(self, y: Any, x: Any = None) -> Any:
        """Keep an output; its true shape is that of the input it came from."""
        source = next((i for i, known in enumerate(self.inputs) if known is x), -1)
        self.outputs.append(y)
        self.output_shapes.append(self.feeds[source][1])
        return y


def _made(tf: Any, args: dict) -> dict:
    return {k: v.make(tf) if isinstance(v, Made) else v for k, v in args.items()}


def run_case(candidate: Candidate, case: Case) -> Outcome:
    """Build and run `case`; an exception while building is an outcome, too."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        build = Build(candidate, case)
        try:
            with warnings.catch_warnings():
                # The programs with control flow run the updates where they are.
                warnings.filterwarnings("ignore", "The update ops of", UserWarning)
                _build(build, case, tf)
        except Exception as error:  # the type is what is recorded
            return Outcome({"error": _describe_error(error, tf)}, {})
        structure = describe(build)
        numbers: dict = {}
        try:
            Runner(build, graph, structure, numbers).run()
        except tf.errors.OpError as error:
            structure["run_error"] = type(error).__name__
        return Outcome(structure, numbers)


def _build(build: Build, case: Case, tf: Any) -> None:
    if case.scope:
        with tf.variable_scope("outer", **_made(tf, case.scope)):
            PROGRAMS[case.program](build)
    else:
        PROGRAMS[case.program](build)


def _describe_error(error: Exception, tf: Any) -> dict:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {
        "type": kinds[0],
        "is_a": kinds,
        "message": str(error),
        "variables_left": [v.op.name for v in tf.global_variables()],
        "updates_left": [_op(u).name for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)],
        "losses_left": [t.name for t in tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)],
    }


def _op(update: Any) -> Any:
    """Updates are operations, or tensors of them: people pass both to group and fetch."""
    return getattr(update, "op", update)


def _static(shape: Any) -> Any:
    return None if shape.ndims is None else shape.as_list()


def describe(build: Build) -> dict:
    """The structure of the graph as it stands right after the calls."""
    tf = build.tf
    graph = tf.get_default_graph()
    keys = [key for key in graph.get_all_collection_keys() if isinstance(key, str)]
    variables = tf.global_variables()
    members = {key: {id(item) for item in graph.get_collection_ref(key)} for key in keys}
    # The collections that control flow itself keeps are not the layer's doing.
    kept = sorted(key for key in keys if not key.endswith("_context"))
    return {
        "variables": [
            {
                "name": v.op.name,
                "shape": _static(v.shape),
                "dtype": v.dtype.base_dtype.name,
                "trainable": bool(v.trainable),
                "collections": [key for key in kept if id(v) in members[key]],
            }
            for v in variables
        ],
        "updates": [
            {"name": _op(u).name, "family": FAMILIES.get(_op(u).type, _op(u).type)}
            for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        ],
        "outputs": [
            {"name": y.name, "dtype": y.dtype.name, "shape": _static(y.shape)}
            for y in build.outputs
        ],
        "losses": [t.name for t in tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)],
        "collections": [key for key in kept if graph.get_collection_ref(key)],
        "attributes": {**build.attributes, **_describe_layers(build)},
    }


def _names(items: Any) -> list:
    return [item.op.name if hasattr(item, "op") else item.name for item in items]


def _describe_layers(build: Build) -> dict:
    found = {}
    for index, layer in enumerate(build.layers):
        shown: dict = {
            key: getattr(layer, key) for key in ("name", "scope_name", "built", "trainable")
        }
        shown["fused"] = bool(layer.fused)
        shown["axis"] = [int(axis) for axis in layer.axis]
        for key in ("variables", "trainable_variables", "non_trainable_variables", "updates",
                    "weights", "trainable_weights", "non_trainable_weights"):  # fmt: skip
            shown[key] = _names(getattr(layer, key))
        for key in ("gamma", "beta", "moving_mean", "moving_variance"):
            value = getattr(layer, key)
            shown[key] = None if value is None else value.name
        shown["count_params"] = layer.count_params()
        config = layer.get_config()
        scalars = {key: config[key] for key in SCALAR_CONFIG if key in config}
        shown["config"] = json.loads(json.dumps(scalars))
        shown["number_of_losses"] = len(layer.losses)
        found[f"layer {index}"] = shown
    return found


class Runner:
    """Runs the gradients, each update alone, and the steps of a built case."""

    def __init__(self, build: Build, graph: Any, structure: dict, numbers: dict) -> None:
        tf = build.tf
        self.build, self.tf, self.case = build, tf, build.case
        self.structure, self.numbers = structure, numbers
        self.variables = tf.global_variables()
        self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        self.losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
        self.loss = self._loss()
        self.targets, self.gradients = self._gradients()
        self.train = CONSUMERS[self.case.consume](self)
        # Made once: a session plans anew for each op that it has not run before.
        self.initialize = [tf.global_variables_initializer(), tf.local_variables_initializer()]
        self.session = make_session(graph)

    def _loss(self) -> Any:
        tf, terms = self.tf, []
        for index, y in enumerate(self.build.outputs):
            shape = self.build.output_shapes[index]
            kind = "float64" if y.dtype.base_dtype == tf.float64 else "float32"
            weights = make_weights(shape, index).astype(kind)
            terms.append(tf.reduce_sum(tf.cast(y, kind) * weights))
        return tf.add_n(terms, name="loss")

    def _gradients(self) -> tuple:
        parameters = [v for v in self.variables if not _is_statistic(v.op.name)]
        targets = {f"x{i}": x for i, x in enumerate(self.build.inputs)}
        targets.update({v.op.name: v for v in parameters})
        found = self.tf.gradients(self.loss, list(targets.values()))
        kept = {key: g for key, g in zip(targets, found) if g is not None}
        return targets, {key: _fetchable(self.tf, g) for key, g in kept.items()}

    def run(self) -> None:
        with self.session:
            self._reset()
            if self.case.initial == "initializers":
                self._keep("initial", self._state())
            self._run_gradients()
            self._run_single_updates()
            for number, letter in enumerate(self.case.run):
                self._run_step(number, letter)

    def _reset(self) -> None:
        """Put every variable into its own state, whatever kind of variable it is."""
        feed = {}
        if self.case.initial != "initializers":
            for v in self.variables:
                value = make_state(v.op.name, v.shape.as_list())
                feed[v.initializer.inputs[1]] = value.astype(v.dtype.base_dtype.as_numpy_dtype)
        self.session.run(self.initialize, feed)

    def _feed(self, step: int, training: bool) -> dict:
        feed = dict(self.build.phase.switch(self.session, training)) if self._has_phase else {}
        for index, (placeholder, shape) in enumerate(self.build.feeds):
            values = make_input(shape, index, step)
            feed[placeholder] = values.astype(placeholder.dtype.as_numpy_dtype)
        return feed

    @property
    def _has_phase(self) -> bool:
        return self.build._phase is not None

    def _state(self) -> dict:
        values = self.session.run(self.variables)
        return {v.op.name: value for v, value in zip(self.variables, values)}

    def _keep(self, prefix: str, values: dict) -> None:
        for key, value in values.items():
            self.numbers[f"{prefix}/{key}"] = np.asarray(value)

    def _run_gradients(self) -> None:
        dynamic = self.case.training in DYNAMIC
        phases = {"only": True}
        if dynamic:
            steps = self.case.run
            phases = {"train": True} if set(steps) & set("TF") else {}
            phases.update({"infer": False} if "I" in steps else {})
        for label, training in phases.items():
            values = self.session.run(self.gradients, self._feed(0, training))
            self._keep(f"gradient {label}", values)

    def _run_single_updates(self) -> None:
        """Which variables an update op writes is seen by running it alone."""
        if not self.build.updates_can_be_fetched or "T" not in self.case.run:
            return
        self._reset()
        before = self._state()
        for number, update in enumerate(self.updates):
            self.session.run(update, self._feed(0, True))
            after = self._state()
            changed = [k for k in before if not np.array_equal(before[k], after[k])]
            self.structure["updates"][number]["writes"] = changed
            self._reset()

    def _run_step(self, number: int, letter: str) -> None:
        feed = self._feed(number, letter != "I")
        outputs = [_fetchable(self.tf, y) for y in self.build.outputs]
        if letter == "T" and self.case.consume == "fetch" and self.build.updates_can_be_fetched:
            values = self.session.run([outputs, [_op(u) for u in self.updates]], feed)[0]
        else:
            values = self.session.run(outputs, feed)
            if letter == "T":
                for target in self.train:
                    self.session.run(target, feed)
        prefix = f"step {number}{letter}"
        self._keep(prefix, {f"output {i}": value for i, value in enumerate(values)})
        self._keep(prefix, self._state())
        if self.losses and number == 0:
            values = self.session.run(self.losses, feed)
            self._keep(prefix, {f"loss {i}": value for i, value in enumerate(values)})


def _fetchable(tf: Any, tensor: Any) -> Any:
    """Half precision leaves the graph as float32, which holds it exactly."""
    return tf.cast(tensor, "float32") if tensor.dtype.base_dtype.size == 2 else tensor


def _is_statistic(name: str) -> bool:
    return name.rsplit("/", 1)[-1].startswith(("moving_", "renorm_"))


def _optimizer(runner: Runner) -> Any:
    return runner.tf.train.GradientDescentOptimizer(LEARNING_RATE)


def _with_control_dependencies(runner: Runner) -> list:
    with runner.tf.control_dependencies(runner.updates):
        return [_optimizer(runner).minimize(runner.loss)]


def _loss_depends(runner: Runner) -> list:
    with runner.tf.control_dependencies(runner.updates):
        loss = runner.tf.identity(runner.loss)
    return [_optimizer(runner).minimize(loss)]


def _grouped(runner: Runner) -> list:
    return [runner.tf.group([_optimizer(runner).minimize(runner.loss), runner.updates])]


def _scoped(runner: Runner) -> list:
    """Only the updates of the first tower, as many multi-GPU programs do."""
    key = runner.tf.GraphKeys.UPDATE_OPS
    return [runner.tf.group(*runner.tf.get_collection(key, scope="tower_0/"))]


def _one_by_one(runner: Runner) -> list:
    """Several writers of one variable have no order of their own, so give them one."""
    return [_op(update) for update in runner.updates]


CONSUMERS: dict = {
    "fetch": lambda runner: [],
    "none": lambda runner: [],
    "one_by_one": _one_by_one,
    "control_dependencies": _with_control_dependencies,
    "loss": _loss_depends,
    "group": _grouped,
    "scoped": _scoped,
}
