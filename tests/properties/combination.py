"""One combination of what a call can be: built, run once per phase and compared with float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests.conftest import make_session, tensorflow
from tests.forced_kernel import forced
from tests.reference import Norm, Slopes, infer, slopes, train
from tests.tolerances import error_of, tolerance
from tf1_bn import BatchNormalization, contrib

tf = tensorflow()

HALF = ("float16", "bfloat16")
MOMENTUM = 0.75
GHOST = 3
CLIPPING = {"rmin": 0.8, "rmax": 1.2, "dmax": 0.25}
# What the graph is built with and, where that is not known to it, what it is fed with. A batch
# that the ghosts divide; no two sizes alike.
BUILT = (6, 5, 4, 2, 3)
FED = (9, 7, 1, 8, 10)


class Feature(NamedTuple):
    """What is asked for beside the plain layer.

    `by_contrib`: of `contrib.batch_norm`; `way` is how that moves its averages.
    """

    renorm: bool = False
    clipped: bool = False
    ghosts: bool = False
    adjusted: str = ""
    by_contrib: bool = False
    way: str = ""


FEATURES = {
    "plain": Feature(),
    "renorm": Feature(renorm=True),
    "renorm, clipped": Feature(renorm=True, clipped=True),
    "ghosts": Feature(ghosts=True),
    "renorm of ghosts": Feature(renorm=True, ghosts=True),
    "adjusted": Feature(adjusted="by channel"),
    "adjusted by a number": Feature(adjusted="number"),
    "contrib": Feature(by_contrib=True),
    "contrib, renorm": Feature(renorm=True, by_contrib=True),
    "contrib, adjusted": Feature(adjusted="by channel", by_contrib=True),
    "contrib, in place": Feature(by_contrib=True, way="in place"),
    "contrib, weights": Feature(by_contrib=True, way="weights"),
    "contrib, no bias": Feature(by_contrib=True, way="no bias"),
}


class Combination(NamedTuple):
    """A layer, what its graph knows, and the kernel forced on it ("" for the package's choice).

    `sizes` are those that the graph is built with, `fed` those of what it does not know.
    """

    axes: tuple
    sizes: tuple
    unknown: tuple
    dtype: str
    phase: Any
    fused: Any
    feature: str
    kernel: str = ""
    fed: tuple = FED

    @property
    def asked(self) -> Feature:
        return FEATURES[self.feature]

    @property
    def known(self) -> list:
        """The static shape of the input."""
        return [None if a in self.unknown else size for a, size in enumerate(self.sizes)]

    @property
    def shape(self) -> tuple:
        """The shape of what is fed."""
        return tuple(
            self.fed[a] if a in self.unknown else size for a, size in enumerate(self.sizes)
        )

    @property
    def tolerances(self) -> str:
        """The rows of the table of tolerances: sums of many terms are rounded more."""
        return "large combination" if np.prod(self.shape) > 50_000 else "combination"

    @property
    def channels(self) -> int:
        return int(np.prod([self.sizes[axis] for axis in self.axes]))

    @property
    def refusal(self) -> Any:
        """The error of TF 1.15.5, which is ours too; None for a combination that is computed."""
        if self.asked.ghosts and 0 in self.axes:
            return ValueError
        if self.asked.way and self.phase is None:
            return ValueError
        return None

    @property
    def refusal_in_training(self) -> Any:
        """What TensorFlow raises when it runs, for TF 1.15.5's layer as for ours.

        Its elementary ops broadcast over no more than five runs of axes: not over
        `[ghost, ghosts, 5, channels, 2, channels]`.
        """
        if self.asked.ghosts and self.axes == (2, 4):
            return tf.errors.UnimplementedError
        return None


def norm_of(combination: Combination) -> Norm:
    """What NumPy is told of it; TF1's fused kernel has numbers of its own."""
    asked = combination.asked
    rank, axes = len(combination.sizes), combination.axes
    plain = not (asked.renorm or asked.ghosts or asked.adjusted) and asked.way != "weights"
    rank_2 = asked.by_contrib and rank == 2
    images = rank == 4 and axes in ((1,), (3,))
    fused = plain and combination.fused is not False and combination.dtype != "float64"
    return Norm(
        axes,
        MOMENTUM,
        renorm=asked.renorm,
        ghost=GHOST if asked.ghosts else None,
        fused=fused and (images or rank_2),
        adjustment=_adjustment_of(combination),
        **(CLIPPING if asked.clipped else {}),  # type: ignore[arg-type]
    )


def _adjustment_of(combination: Combination) -> Any:
    if combination.asked.adjusted == "number":
        return (1.25, -0.5)
    if not combination.asked.adjusted:
        return None
    # By channel, and numbers that half precision has, too.
    steps = np.arange(combination.channels) % 7
    return (1.0 + steps / 8.0, -0.5 + steps / 16.0)


def layer_features_of(combination: Combination) -> dict:
    """What the layer is given for the feature; it has the same names for most of contrib's."""
    asked, norm = combination.asked, norm_of(combination)
    given: dict = {"epsilon": norm.epsilon, "scale": True}
    if asked.renorm:
        given["renorm"] = True
        given["renorm_clipping"] = CLIPPING if asked.clipped else None
    if asked.ghosts:
        given["virtual_batch_size"] = GHOST
    if asked.adjusted:
        broadcast = [n if a in combination.axes else 1 for a, n in enumerate(combination.sizes)]
        shape = [] if asked.adjusted == "number" else broadcast
        given["adjustment"] = lambda _: tuple(
            tf.constant(np.reshape(numbers, shape), combination.dtype)
            for numbers in norm.adjustment or ()
        )
    return given


def call(combination: Combination, inputs: Any, training: Any) -> Any:
    """The outputs, under the scope `bn`."""
    asked, norm = combination.asked, norm_of(combination)
    given = dict(layer_features_of(combination), fused=combination.fused)
    if not asked.by_contrib:
        axes = list(combination.axes)
        normalization = BatchNormalization(
            axes[0] if len(axes) == 1 else axes,
            norm.kept,
            renorm_momentum=norm.renorm_kept,
            name="bn",
            **given,
        )
        return normalization(inputs, training=training)
    if asked.way == "in place":
        given["updates_collections"] = None
    if asked.way == "weights":
        weights = tf.constant(weights_of(combination), tf.float32)
        open_batch = combination.known[0] is None
        given["batch_weights"] = (
            tf.placeholder_with_default(weights, [None]) if open_batch else weights
        )
    return contrib.batch_norm(
        inputs,
        norm.kept,
        is_training=training,
        data_format="NHWC" if combination.axes[0] == len(combination.sizes) - 1 else "NCHW",
        zero_debias_moving_mean=asked.way == "no bias",
        scope="bn",
        renorm_decay=norm.renorm_kept,
        **given,
    )


def weights_of(combination: Combination) -> Any:
    """How often each row counts."""
    return 1 + np.arange(combination.shape[0]) % 3


class Built(NamedTuple):
    """A graph that holds one call."""

    graph: Any
    inputs: Any
    training: Any
    upstream: Any
    outputs: Any
    updates: list
    gradients: list
    variables: dict


def build(combination: Combination, gradients: bool = True) -> Built:
    """In a graph of its own.

    Raises:
      Exception: whatever the package raises.
    """
    with tf.Graph().as_default() as graph, forced(combination.kernel):
        inputs = tf.placeholder(combination.dtype, combination.known)
        training = combination.phase
        if training == "placeholder":
            training = tf.placeholder(tf.bool, [])
        outputs = call(combination, inputs, training)
        if training is None:
            training = graph.get_tensor_by_name("keras_learning_phase:0")
        variables = {v.op.name.rpartition("/")[2]: v for v in tf.global_variables()}
        upstream = tf.placeholder(combination.dtype, combination.known)
        found: list = []
        if gradients:
            along = [inputs, variables["gamma"], variables["beta"]]
            found = tf.gradients(outputs, along, grad_ys=upstream)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        return Built(graph, inputs, training, upstream, outputs, updates, found, variables)


class Expected(NamedTuple):
    """By float64 NumPy."""

    outputs: Any
    slopes: Slopes
    state: dict


def expected_of(
    combination: Combination, x: Any, state: dict, upstream: Any, training: bool
) -> Expected:
    norm, asked = norm_of(combination), combination.asked
    repeated = np.arange(x.shape[0])
    if asked.way == "weights" and training:
        # A row that counts twice is there twice, and the second one's output is not looked at.
        repeated = np.repeat(repeated, weights_of(combination))
    first = np.searchsorted(repeated, np.arange(x.shape[0]))
    rows, wide_upstream = x[repeated], np.zeros((len(repeated), *x.shape[1:]))
    wide_upstream[first] = upstream
    step = (train if training else infer)(norm, rows, state)
    found = slopes(norm, rows, state, wide_upstream, training)
    d_inputs = np.zeros(x.shape)
    np.add.at(d_inputs, repeated, found.inputs)
    after = dict(step.state)
    if asked.way == "no bias" and training:
        mean = (after["moving_mean"] - norm.kept * state["moving_mean"]) / (1.0 - norm.kept)
        after["biased"] = norm.kept * state["biased"] + (1.0 - norm.kept) * mean
        after["local_step"] = state["local_step"] + 1.0
        after["moving_mean"] = after["biased"] / (1.0 - norm.kept ** after["local_step"])
    return Expected(step.outputs[first], found._replace(inputs=d_inputs), after)


def plain_session(graph: Any) -> Any:
    """As `make_session`, without the passes that rewrite a graph before it runs; half the time."""
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.optimizer_options.opt_level = -1
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(graph=graph, config=config)


def failures_of(combination: Combination, session_on: Any = make_session) -> list:
    """What is wrong with it, as sentences; builds it and runs it in every phase it has."""
    refusal = combination.refusal
    try:
        built = build(combination)
    except Exception as error:
        if refusal is not None and type(error) is refusal:
            return []
        return [f"build: {type(error).__name__}: {str(error).splitlines()[0]}"]
    if refusal is not None:
        return [f"build: no {refusal.__name__}, though TF 1.15.5 raises it"]
    phases = [True, False] if tf.is_tensor(built.training) else [bool(built.training)]
    lost = [name for name, slope in zip(Slopes._fields, built.gradients) if slope is None]
    if lost:
        return [f"build: no gradient of {', '.join(lost)}"]
    problems = []
    with session_on(built.graph) as session:
        for phase in phases:
            try:
                problems += _wrong_numbers(combination, built, phase, session)
                if phase and combination.refusal_in_training:
                    problems.append("run: no error, though TF 1.15.5 raises one")
            except tf.errors.OpError as error:
                if phase and type(error) is combination.refusal_in_training:
                    continue
                message = error.message.splitlines()[0]
                problems.append(f"run: {type(error).__name__}: {message}")
    return problems


def _wrong_numbers(combination: Combination, built: Built, phase: bool, session: Any) -> list:
    x, upstream, state = _draw(combination, built)
    session.run(
        [v.initializer for v in built.variables.values()],
        {v.initializer.inputs[1]: state[name] for name, v in built.variables.items()},
    )
    feed = {built.inputs: x, built.upstream: upstream}
    # A learning phase that is not fed is inference.
    if tf.is_tensor(built.training) and (phase or combination.phase is not None):
        feed[built.training] = phase
    y, found, _ = session.run([built.outputs, built.gradients, built.updates], feed)
    after = session.run(built.variables)
    flat = {name: np.ravel(value) for name, value in state.items()}
    expected = expected_of(combination, _wide(x), flat, _wide(upstream), phase)
    pairs = [("output", "outputs", y, expected.outputs)]
    for name, got, wanted in zip(expected.slopes._fields, found, expected.slopes):
        pairs.append(("gradient", name, got, wanted))
    for name, value in expected.state.items():
        pairs.append(("state", name, after[name], value))
    wrong = []
    for quantity, name, got, wanted in pairs:
        if quantity == "output" and np.asarray(got).dtype != x.dtype:
            wrong.append(f"outputs: {np.asarray(got).dtype}")
        error = error_of(np.reshape(_wide(got), np.shape(wanted)), wanted)
        allowed = tolerance(quantity, combination.dtype, combination.tolerances).error
        MEASURED[quantity, combination.dtype] = max(
            error, MEASURED.get((quantity, combination.dtype), 0.0)
        )
        if not error <= allowed:
            trained = "training" if phase else "inference"
            wrong.append(f"{name} in {trained}: error {error:.2g} exceeds {allowed:.2g}")
    return wrong


# The greatest error seen by quantity and dtype: what the tolerances are derived from.
MEASURED: dict = {}


def _wide(values: Any) -> Any:
    values = np.asarray(values)
    return values.astype("float32" if values.dtype.name in HALF else "float64").astype("float64")


def _draw(combination: Combination, built: Built) -> tuple:
    """Inputs whose channels differ in center and width, a direction, a state of its own each."""
    random = np.random.RandomState(11)
    dtype = tf.as_dtype(combination.dtype).as_numpy_dtype
    shape = combination.shape
    widths = [n if a in combination.axes else 1 for a, n in enumerate(shape)]
    x = random.standard_normal(shape) * random.uniform(0.5, 2.0, widths)
    x = (x + random.uniform(-2.0, 2.0, widths)).astype("float32").astype(dtype)
    upstream = random.standard_normal(shape).astype("float32").astype(dtype)
    state = {}
    for name, variable in sorted(built.variables.items()):
        positive = "variance" in name or "stddev" in name or name == "gamma"
        low, high = (0.5, 1.5) if positive else (-1.0, 1.0)
        sizes = variable.shape.as_list()
        state[name] = random.uniform(low, high, sizes).astype(variable.dtype.base_dtype.name)
    if "local_step" in state:
        state["local_step"] = np.full_like(state["local_step"], 2.0)
    return x, upstream, state
