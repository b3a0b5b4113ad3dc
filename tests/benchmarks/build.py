"""Graphs to time: one layer, ours or the peer's, or the bare fused op; data are in variables."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from typing import Any, Callable, NamedTuple

from tests.benchmarks.grid import Case, Phase

# The peer on a newer TensorFlow is tf_keras, which is asked for before TensorFlow is imported;
# where it is not installed, TensorFlow would look for it without end.
if importlib.util.find_spec("tf_keras") is not None:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

tf: Any = importlib.import_module("tensorflow.compat.v1")

SEED = 20170210
OURS, PEER, BARE, CONSTANT = "ours", "peer", "bare", "constant"
MOVING = "bare and averages"


class Step(NamedTuple):
    """A built and initialized graph: `run` is one step, `close` frees it."""

    run: Callable[[], Any]
    close: Callable[[], None]


def use_graph_mode(resource_variables: bool = False) -> None:
    """TF1's behaviour as a whole, or with resource variables and control flow v2."""
    tf.logging.set_verbosity(tf.logging.ERROR)
    warnings.filterwarnings("ignore", message="`tf.layers")
    if resource_variables:
        tf.disable_eager_execution()
    else:
        tf.disable_v2_behavior()


def tensorflow_version() -> str:
    return str(tf.__version__)


def our_layer() -> Callable[..., Any]:
    import tf1_bn

    return tf1_bn.batch_normalization


def peer_layer() -> Callable[..., Any] | None:
    """The layer users come from: TensorFlow's own up to 2.15, then tf_keras' if it is there."""
    try:
        layer = tf.layers.batch_normalization
        with tf.Graph().as_default():
            layer(tf.zeros([2, 2]))
    except (AttributeError, ImportError):
        return None
    return layer


def peer_name() -> str:
    """Names the module and version of what `peer_layer` gives."""
    layer = peer_layer()
    if layer is None:
        return "none"
    package = layer.__module__.split(".")[0]
    if package == "tf_keras":
        return f"tf_keras {importlib.import_module(package).__version__}"
    return f"TensorFlow {tf.__version__}"


def layer_step(case: Case, layer: Callable[..., Any], phase: Phase | None = None) -> Step:
    """One layer as the case calls it, or in another phase."""
    phase = phase or case.phase
    with tf.Graph().as_default() as graph:
        x, upstream = _data(case, case.shape, case.channel_axes)
        if case.open_batch:
            x = tf.placeholder_with_default(x, [None, *case.shape[1:]])
        training: Any = phase.trains
        if phase.dynamic:
            training = tf.placeholder_with_default(phase.trains, [])
        outputs = layer(x, training=training, **arguments(case))
        return _step(graph, outputs, x, tf.trainable_variables(), upstream, phase)


def arguments(case: Case) -> dict[str, Any]:
    """What the layer is given besides the input and `training`."""
    axis = list(case.axis) if isinstance(case.axis, tuple) else case.axis
    given = dict(case.options, axis=axis)
    if case.adjusted:
        given["adjustment"] = _adjustment_per_channel(case)
    return given


def _adjustment_per_channel(case: Case) -> Callable[..., Any]:
    shape = [n if a in case.channel_axes else 1 for a, n in enumerate(case.shape)]

    def adjustment(_: Any) -> Any:
        scale = tf.random_uniform(shape, 0.9, 1.1, seed=SEED)
        return scale, tf.random_uniform(shape, -0.1, 0.1, seed=SEED)

    return adjustment


def bare_step(case: Case, averages: bool = False) -> Step | None:
    """FusedBatchNormV3 with nothing around it, its data folded beforehand; None if it cannot.

    `averages` adds the two moving averages in the fewest ops: what no layer can do without.
    """
    folded = fold(case.shape, case.channel_axes)
    if folded is None or case.dtype == "float64":
        return None
    shape, data_format = folded
    channel_axis = data_format.index("C")
    channels = shape[channel_axis]
    trains = case.phase.trains
    with tf.Graph().as_default() as graph:
        x, upstream = _data(case, shape, (channel_axis,))
        scale = tf.get_variable("gamma", [channels], initializer=tf.ones_initializer())
        offset = tf.get_variable("beta", [channels], initializer=tf.zeros_initializer())
        empty = tf.constant([], tf.float32)
        result = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale,
            offset=offset,
            mean=empty if trains else _kept("mean", tf.zeros([channels])),
            variance=empty if trains else _kept("variance", tf.ones([channels])),
            epsilon=1e-3,
            data_format=data_format,
            is_training=trains,
        )
        if averages:
            _move("mean", result.batch_mean, channels)
            _move("variance", result.batch_variance, channels)
        return _step(graph, result.y, x, [scale, offset], upstream, case.phase)


def _move(name: str, batch: Any, channels: int) -> None:
    average = tf.get_variable(name, [channels], initializer=tf.zeros_initializer(), trainable=False)
    update = average.assign_sub((average - batch) * 0.01, read_value=False)
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)


def runs(step: Step) -> bool:
    """Whether the step works here: without oneDNN the fused op knows channels last alone."""
    try:
        step.run()
    except (tf.errors.InternalError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        return False
    return True


def fold(shape: tuple[int, ...], channel_axes: tuple[int, ...]) -> tuple[Any, str] | None:
    """The rank 4 shape and data format of the same data, not moved; None if there is none."""
    first, last = channel_axes[0], channel_axes[-1]
    if last - first + 1 != len(channel_axes):
        return None
    before, channels, after = (
        _product(part) for part in (shape[:first], shape[first : last + 1], shape[last + 1 :])
    )
    if len(shape) == 4 and channel_axes in ((1,), (3,)):
        return shape, "NCHW" if first == 1 else "NHWC"
    if after == 1:
        return (before, 1, 1, channels), "NHWC"
    return (before, channels, 1, after), "NCHW"


def _product(numbers: tuple[int, ...]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


def _data(case: Case, shape: Any, channel_axes: tuple[int, ...]) -> tuple[Any, Any]:
    """The input, each channel with its own center and width, and the gradient of its output."""
    widths = [n if a in channel_axes else 1 for a, n in enumerate(shape)]
    noise = tf.random_normal(shape, seed=SEED)
    spread = tf.random_uniform(widths, 0.5, 2.0, seed=SEED + 1)
    center = tf.random_uniform(widths, -2.0, 2.0, seed=SEED + 2)
    x = _kept("x", tf.cast(noise * spread + center, case.dtype))
    upstream = tf.random_normal(shape, seed=SEED + 3)
    return x, _kept("upstream", tf.cast(upstream, case.dtype))


def op_step(shape: tuple[int, ...], dtype: str, compute: Callable[[Any], Any]) -> Step:
    """What `compute` makes of a tensor of noise."""
    with tf.Graph().as_default() as graph:
        x = _kept("x", tf.random_normal(shape, dtype=dtype, seed=SEED))
        return _step(graph, compute(x), x, [], None, Phase.INFER)


def _kept(name: str, value: Any) -> Any:
    """The value in a variable, so that a run neither feeds nor computes it."""
    return tf.identity(tf.get_variable(name, initializer=value, trainable=False))


def _step(graph: Any, outputs: Any, x: Any, learned: Any, upstream: Any, phase: Phase) -> Step:
    # Ops as fetches run, but nothing is copied out.
    fetches = [outputs.op]
    if phase.trains:
        gradients = tf.gradients(outputs, [x, *learned], grad_ys=upstream)
        fetches += [gradient.op for gradient in gradients]
        fetches += [getattr(op, "op", op) for op in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
    session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))
    session.run(tf.global_variables_initializer())
    return Step(session.make_callable(fetches), session.close)


def steps_of(case: Case) -> dict[str, Step]:
    """Every contender of a case by its name, ours first; what cannot run it here is left out."""
    steps = {name: one_step(case, name) for name in (OURS, PEER, BARE, MOVING, CONSTANT)}
    return {name: step for name, step in steps.items() if step is not None}


def one_step(case: Case, name: str) -> Step | None:
    """One contender's step, None if there is none or it cannot run here."""
    step: Step | None = None
    if name == OURS:
        return layer_step(case, our_layer())
    if name == BARE:
        step = bare_step(case)
    elif name == MOVING:
        # Only where ours is held to the bare op itself does it matter what the averages cost.
        step = bare_step(case, averages=True) if case.group in ("conv", "conv_first") else None
    elif name == PEER:
        peer = peer_layer()
        step = layer_step(case, peer) if peer is not None else None
    elif case.phase.dynamic:
        constant = Phase.TRAIN if case.phase.trains else Phase.INFER
        step = layer_step(case, our_layer(), constant)
    if step is None or runs(step):
        return step
    step.close()
    return None
