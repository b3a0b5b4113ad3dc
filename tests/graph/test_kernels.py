"""The kernels at the sizes they are chosen for, and on inputs that are hard for any of them."""

from __future__ import annotations

import functools
import logging
from typing import Any, Iterator

import numpy as np
import pytest

from tests.conftest import V2_MODE, tensorflow
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization
from tf1_bn._src.plan.kernel_choice import Kernel
from tf1_bn._src.plan.row_layout import Fold
from tf1_bn._src.plan.ways import Rows
from tf1_bn._src.runtime.tensorflow_v1 import machine

tf = tensorflow()
EPSILON = 1e-3
# Every way to fold, large enough to be folded, no two sizes alike.
FOLDS = {
    "rows": ((1031, 130), {}),
    "sequence": ((67, 31, 65), {}),
    "rank 5": ((3, 5, 14, 12, 41), {}),
    "channels first": ((33, 65, 61), {"axis": 1}),
    "two axes": ((331, 11, 37), {"axis": [1, 2]}),
    "axis 0": ((65, 33, 61), {"axis": 0}),
    "columns": ((41, 66, 14), {"axis": 1}),
    "columns of odd channels": ((1032, 131), {}),
    "columns of axes apart": ((47, 6, 13, 10), {"axis": [1, 3]}),
    "columns of few channels": ((35, 30, 39, 3), {"axis": [3, 2]}),
    "renorm": ((331, 393), {"renorm": True}),
    "renorm, images": ((13, 9, 11, 97), {"renorm": True}),
    "renorm, channels first": ((33, 65, 61), {"renorm": True, "axis": 1}),
    "renorm, columns": ((41, 66, 14), {"renorm": True, "axis": 1}),
    "renorm, ghost rows": ((1030, 131), {"renorm": True, "virtual_batch_size": 103}),
    "renorm, ghost slices": ((64, 13, 9, 33), {"renorm": True, "virtual_batch_size": 16}),
    "ghost rows": ((1030, 131), {"virtual_batch_size": 103}),
    "ghost slices": ((64, 13, 9, 33), {"virtual_batch_size": 16}),
    "ghosts moved": ((64, 13, 5, 33), {"virtual_batch_size": 2}),
    "ghosts first": ((64, 33, 13, 9), {"virtual_batch_size": 16, "axis": 1}),
}
# The fused op takes no channels with other values between them.
UNFUSED = ("columns of axes apart",)
# What elementary ops see as it is: ghost batches, rows that cannot be put side by side, axis 0.
PLAIN = ("rows", "two axes", "axis 0", "renorm")
# Where the batch axis holds no channels, its size may be unknown.
OPEN = sorted(name for name, (_, options) in FOLDS.items() if options.get("axis") != 0)


@pytest.fixture(params=["op", "elementary"])
def fused(request: Any) -> Iterator[bool]:
    """Whether the fused op is asked for, or elementary ops."""
    yield request.param == "op"


def _takes(fold: str, phase: str, fused: bool) -> str:
    """What a training call of this fold is made of."""
    if fused and fold not in UNFUSED:
        return "op"
    ghosts = "virtual_batch_size" in FOLDS[fold][1]
    # Of an unknown number of examples none can be put side by side.
    alone = phase == "open batch" and fold == "columns of odd channels"
    return "as it is" if ghosts or alone or fold in PLAIN else "columns"


def _made_of(norm: BatchNormalization) -> str:
    if norm.kernel.kernel is Kernel.FUSED:
        return "op"
    return "as it is" if norm.kernel.in_training.columns is None else "columns"


def _inputs(shape: Any, mean: float = 3.0, stddev: float = 2.0) -> Any:
    rng = np.random.RandomState(7)
    return (mean + stddev * rng.standard_normal(shape)).astype("float32")


def _expected(x: Any, weights: Any, options: Any, gamma: Any, beta: Any) -> Any:
    """Outputs, gradients of sum(outputs * weights), batch mean and variance, all in float64."""
    axes = options.get("axis", -1)
    axes = [axis % x.ndim for axis in (axes if isinstance(axes, list) else [axes])]
    ghost = options.get("virtual_batch_size", x.shape[0])
    outputs, d_inputs = np.zeros(x.shape), np.zeros(x.shape)
    reduced = tuple(axis for axis in range(x.ndim) if axis not in axes)
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    d_gamma, d_beta = np.zeros(shape), np.zeros(shape)
    moments = []
    count = x.shape[0] // ghost
    for first in range(count):
        rows = slice(None) if 0 in axes else slice(first, None, count)
        wide, upstream = x[rows].astype("float64"), weights[rows].astype("float64")
        mean, variance = (f(wide, axis=reduced, keepdims=True) for f in (np.mean, np.var))
        hat = (wide - mean) / np.sqrt(variance + EPSILON)
        outputs[rows] = hat * gamma + beta
        inner = [(upstream * part).mean(reduced, keepdims=True) for part in (1.0, hat)]
        d_inputs[rows] = (
            gamma / np.sqrt(variance + EPSILON) * (upstream - inner[0] - hat * inner[1])
        )
        d_gamma += (upstream * hat).sum(reduced, keepdims=True)
        d_beta += upstream.sum(reduced, keepdims=True)
        moments.append((mean, variance))
    mean, variance = (sum(each) / count for each in zip(*moments))
    return outputs, d_inputs, d_gamma, d_beta, mean, variance


def _renormalized(plain: Any, gamma: Any, beta: Any) -> Any:
    """The same for a fresh layer with renorm: r = stddev and d = mean undo the normalization."""
    outputs, d_inputs, d_gamma, d_beta, mean, variance = plain
    stddev = np.sqrt(variance + EPSILON)
    return (
        (outputs - beta) * stddev + mean * gamma + beta,
        d_inputs * stddev,
        d_gamma * stddev + d_beta * mean,
        d_beta,
        mean,
        variance,
    )


@functools.lru_cache(maxsize=1)
def _numbers(fold: str) -> tuple:
    """What a layer of this fold is given, and what it is to give: the same in every phase."""
    shape, options = FOLDS[fold]
    x, rng = _inputs(shape), np.random.RandomState(3)
    weights = rng.standard_normal(shape).astype("float32")
    axes = options.get("axis", -1)
    axes = axes if isinstance(axes, list) else [axes]
    size = int(np.prod([shape[axis] for axis in axes]))
    gamma, beta = 1.0 + rng.rand(size), rng.rand(size)
    wanted = _expected(x, weights, options, gamma, beta)
    if "renorm" in options:
        wide = wanted[2].shape
        wanted = _renormalized(wanted, gamma.reshape(wide), beta.reshape(wide))
    return x, weights, gamma, beta, wanted


@pytest.mark.parametrize(
    ("fold", "phase"),
    [
        (fold, phase)
        for fold in sorted(FOLDS)
        for phase in ("constant", "placeholder", "open batch")
        if phase != "open batch" or fold in OPEN
    ],
)
def test_every_fold_is_exact(fold: str, phase: str, fused: bool, session: Any) -> None:
    shape, options = FOLDS[fold]
    x, weights, gamma, beta, wanted = _numbers(fold)
    inputs = tf.placeholder(tf.float32, [None, *shape[1:]] if phase == "open batch" else shape)
    training = tf.placeholder_with_default(True, []) if phase == "placeholder" else True
    norm = BatchNormalization(momentum=0.0, epsilon=EPSILON, fused=fused, **options)
    outputs = norm(inputs, training=training)
    gradients = tf.gradients(outputs, [inputs, norm.gamma, norm.beta], grad_ys=weights)
    parameters = {
        variable.initializer.inputs[1]: value.reshape(variable.shape.as_list())
        for variable, value in ((norm.gamma, gamma), (norm.beta, beta))
    }
    session.run(tf.global_variables_initializer(), parameters)

    # TF 1.15 dies on a batch of no ghosts, so it does not fold one that may have none.
    open_ghosts = phase == "open batch" and "virtual_batch_size" in options
    if not open_ghosts or machine().no_channels:
        assert _made_of(norm) == _takes(fold, phase, fused), norm.kernel
    got = session.run([outputs, *gradients], {inputs: x})
    session.run(norm.updates, {inputs: x})
    got += session.run([norm.moving_mean, norm.moving_variance])

    names = ["output", "gradient", "gradient", "gradient", "state", "state"]
    for name, value, want in zip(names, got, wanted):
        assert_close(value, want.reshape(value.shape), name, "float32", "large")


@pytest.mark.slow
@pytest.mark.parametrize("fold", sorted(FOLDS))
def test_second_derivatives_are_those_of_elementary_ops(
    fold: str, fused: bool, session: Any
) -> None:
    """The gradient of a penalty on a gradient, against the composed kernel in float64."""
    shape, options = FOLDS[fold]
    x = _inputs(shape)
    rng = np.random.RandomState(5)
    weights, direction = (rng.standard_normal(shape) for _ in range(2))
    found = []
    for dtype, kernel in (("float32", fused), ("float64", False)):
        inputs = tf.constant(x, dtype)
        norm = BatchNormalization(epsilon=EPSILON, fused=kernel, **options)
        outputs = norm(inputs, training=True)
        (slope,) = tf.gradients(outputs, [inputs], grad_ys=tf.sin(outputs) * weights.astype(dtype))
        penalty = tf.reduce_sum(slope * direction.astype(dtype))
        found.append(tf.gradients(penalty, [inputs, norm.gamma, norm.beta]))
        session.run(tf.global_variables_initializer())
    for value, want in zip(*session.run(found)):
        assert_close(value, want, "second difference", "float32", "NumPy")


@pytest.mark.parametrize("channels", [128, 130])
@pytest.mark.parametrize(("mean", "stddev"), [(1e4, 1.0), (0.0, 1e-4), (3.0, 1e-2), (-1e3, 0.5)])
def test_hard_inputs_are_as_exact_as_their_own_rounding(
    mean: float, stddev: float, channels: int, fused: bool, session: Any
) -> None:
    x = _inputs((1024, channels), mean, stddev)
    norm = BatchNormalization(
        momentum=0.0, epsilon=EPSILON, fused=fused, moving_variance_initializer="zeros"
    )
    outputs = norm(tf.constant(x), training=True)
    session.run(tf.global_variables_initializer())

    y = session.run(outputs)
    session.run(norm.updates)
    moving_mean, moving_variance = session.run([norm.moving_mean, norm.moving_variance])

    wide = x.astype("float64")
    scale = np.sqrt(wide.var(0) + EPSILON)
    # Sums of 1024 numbers of float32: an error of the mean in units of its last place.
    off = 40 * abs(mean) * 2.0**-24 + 1e-6 * stddev
    assert abs(moving_mean - wide.mean(0)).max() <= off
    assert abs(y - (wide - wide.mean(0)) / scale).max() <= 2 * off / scale.min() + 2e-5
    assert abs(moving_variance / wide.var(0) - 1).max() <= 1e-4 + (off / stddev) ** 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_neither_overflows_nor_sums_in_half(
    dtype: str, fused: bool, session: Any
) -> None:
    # The sum of squares, 2e12, and the count, 4000, are beyond what float16 has.
    x = _inputs((4000, 33), 2e4, 1e4)
    x = np.clip(x, -6e4, 6e4)
    inputs = tf.cast(tf.constant(x), dtype)
    norm = BatchNormalization(momentum=0.0, epsilon=EPSILON, fused=fused)
    outputs = norm(inputs, training=True)
    session.run(tf.global_variables_initializer())

    rounded, y = session.run([tf.cast(inputs, tf.float32), tf.cast(outputs, tf.float32)])
    session.run(norm.updates)

    wide = rounded.astype("float64")
    assert_close(y, (wide - wide.mean(0)) / wide.std(0), "output", dtype)
    assert_close(session.run(norm.moving_mean), wide.mean(0), "state", dtype, "large")
    assert_close(session.run(norm.moving_variance), wide.var(0), "state", dtype, "large")


def test_a_batch_of_one_has_no_variance(fused: bool, session: Any) -> None:
    x = _inputs((1, 5))
    norm = BatchNormalization(momentum=0.0, fused=fused)
    outputs = norm(tf.constant(x), training=True)
    session.run(tf.global_variables_initializer())

    assert_close(session.run(outputs), np.zeros((1, 5)), "output", "float32")
    session.run(norm.updates)
    assert_close(session.run(norm.moving_mean), x[0], "state", "float32")
    assert_close(session.run(norm.moving_variance), np.zeros(5), "state", "float32")


@pytest.mark.parametrize("fold", OPEN)
def test_an_empty_batch_changes_nothing_and_gives_finite_gradients(
    fold: str, fused: bool, session: Any
) -> None:
    shape, options = FOLDS[fold]
    inputs = tf.placeholder(tf.float32, [None, *shape[1:]])
    norm = BatchNormalization(fused=fused, **options)
    outputs = norm(inputs, training=True)
    gradients = tf.gradients(outputs, [inputs, norm.gamma, norm.beta])
    session.run(tf.global_variables_initializer())
    before = session.run(norm.variables)

    feed = {inputs: np.zeros([0, *shape[1:]])}
    y, d_inputs, d_gamma, d_beta = session.run([outputs, *gradients], feed)
    session.run(norm.updates, feed)

    assert y.shape == d_inputs.shape == (0, *shape[1:])
    assert not d_gamma.any() and not d_beta.any()
    for old, new in zip(before, session.run(norm.variables)):
        np.testing.assert_array_equal(old, new)


@pytest.mark.skipif(V2_MODE, reason="control flow v2 has no Switch")
def test_a_phase_decided_at_run_time_switches_each_tensor_once() -> None:
    inputs = tf.placeholder(tf.float32, [6, 4, 3, 5])
    BatchNormalization()(inputs, training=tf.placeholder(tf.bool, []))

    kinds = [op.type for op in tf.get_default_graph().get_operations()]
    assert kinds.count("Switch") == 5
    assert kinds.count("FusedBatchNormV3") == 2


def test_each_call_logs_its_kernel_and_the_reason(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG, "tf1_bn")
    with tf.variable_scope("net"):
        layer = BatchNormalization(fused=False, name="bn")
        layer(tf.zeros([2, 3]))
    layer(tf.zeros([2, 3]), training=True)

    assert [record.getMessage() for record in caplog.records] == [
        "net/bn: composed: fused=False",
        "net/bn: composed: fused=False",
    ]
    choice = layer.kernel._replace(in_inference=Rows(Fold(3)))
    assert str(choice) == "composed in training, fused in inference: fused=False"
