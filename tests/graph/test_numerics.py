"""Numbers against float64 NumPy where TF 1.15.5 is no measure: it fails there, or is less exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conftest import make_session
from tests.graph.support import distinct, set_distinct_state, tf, update_ops
from tests.reference import Norm, normalized, train
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization, batch_normalization, renorm_schedule


@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 3, 4)])
@pytest.mark.parametrize("unknown", [False, True], ids=["static", "unknown sizes"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["constant", "placeholder"])
def test_ghost_batches_are_interleaved(
    shape: Any, unknown: bool, dynamic: bool, session: Any
) -> None:
    x = distinct(*shape)
    known = [None] * (len(shape) - 1) + [shape[-1]] if unknown else shape
    inputs = tf.placeholder(tf.float32, known)
    training = tf.placeholder_with_default(True, []) if dynamic else True
    outputs = batch_normalization(
        inputs, training=training, virtual_batch_size=2, momentum=0.5, name="bn"
    )
    state = set_distinct_state(session)

    y, _ = session.run([outputs, update_ops()], {inputs: x})

    own = {name.split("/")[-1]: value for name, value in state.items()}
    expected, after, _ = train(Norm((x.ndim - 1,), kept=0.5, ghost=2), x, own)
    assert_close(y, expected, "output", "float32")
    assert outputs.shape.as_list() == list(known)
    for name in ("moving_mean", "moving_variance"):
        variable = next(v for v in tf.global_variables() if v.op.name == f"bn/{name}")
        assert_close(session.run(variable).reshape(-1), after[name], "state", "float32")


@pytest.mark.parametrize("phase", ["constant", "placeholder"])
def test_inference_with_ghosts_takes_any_batch(phase: str, session: Any) -> None:
    inputs, flag = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.bool, [])
    training = False if phase == "constant" else flag
    outputs = batch_normalization(inputs, training=training, virtual_batch_size=4, name="bn")
    state = {key: v.reshape(-1).astype("float64") for key, v in set_distinct_state(session).items()}
    x = distinct(7, 3)

    y = session.run(outputs, {inputs: x, flag: False})

    scale = state["bn/gamma"] / np.sqrt(state["bn/moving_variance"] + 1e-3)
    assert_close(y, (x - state["bn/moving_mean"]) * scale + state["bn/beta"], "output", "float32")
    if phase == "placeholder":
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(outputs, {inputs: x, flag: True})


def test_a_ghost_of_the_whole_batch_is_plain_batch_norm(session: Any) -> None:
    inputs = tf.constant(distinct(6, 4))
    ghost = batch_normalization(inputs, training=True, virtual_batch_size=6)
    plain = batch_normalization(inputs, training=True)
    session.run(tf.global_variables_initializer())

    assert_close(*session.run([ghost, plain]), "output", "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("clipping", [None, {"rmin": 0.9, "rmax": 1.1, "dmax": 0.2}])
@pytest.mark.parametrize("dynamic", [False, True], ids=["constant", "placeholder"])
def test_renorm_corrects_with_the_averages_before_the_step(
    dtype: str, clipping: Any, dynamic: bool, session: Any
) -> None:
    x = distinct(6, 3).astype(dtype)
    training = tf.placeholder_with_default(True, []) if dynamic else True
    layer = BatchNormalization(
        renorm=True,
        renorm_clipping=clipping,
        renorm_momentum=0.75,
        momentum=0.5,
        epsilon=0.25,
        name="bn",
    )
    outputs = layer(tf.constant(x), training=training)
    old = set_distinct_state(session)

    y, _ = session.run([outputs, layer.updates])

    old = {name.split("/")[-1]: value.astype("float64") for name, value in old.items()}
    wide = x.astype("float64")
    mean, stddev = wide.mean(0), np.sqrt(wide.var(0) + 0.25)
    averaged = np.maximum(old["renorm_stddev"], 0.5)
    r, d = stddev / averaged, (mean - old["renorm_mean"]) / averaged
    if clipping:
        assert (r > 1.1).any() and (abs(d) > 0.2).any()
        r, d = np.clip(r, 0.9, 1.1), np.clip(d, -0.2, 0.2)
    expected = ((wide - mean) / stddev * r + d) * old["gamma"] + old["beta"]
    assert_close(y, expected, "output", dtype)
    moved_stddev = 0.5 * old["moving_stddev"] + 0.5 * stddev
    for variable, value in [
        (layer.moving_mean, 0.5 * old["moving_mean"] + 0.5 * mean),
        (layer.moving_stddev, moved_stddev),
        (layer.moving_variance, np.maximum(moved_stddev**2 - 0.25, 0)),
        (layer.renorm_mean, 0.75 * old["renorm_mean"] + 0.25 * mean),
        (layer.renorm_stddev, 0.75 * old["renorm_stddev"] + 0.25 * stddev),
    ]:
        assert_close(session.run(variable), value, "state", dtype, what=variable.op.name)


@pytest.mark.parametrize(
    ("step", "rmax", "dmax"),
    [
        (0, 1, 0),
        (5000, 1, 0),
        (15000, 11 / 7, 2.5),
        (25000, 15 / 7, 5),
        (40000, 3, 5),
        (90000, 3, 5),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_schedule_is_the_papers(
    step: int, rmax: float, dmax: float, scale: float, session: Any
) -> None:
    now = tf.placeholder(tf.int64, [])

    bounds = session.run(renorm_schedule(now, scale), {now: int(step * scale)})

    expected = {"rmin": 1 / rmax, "rmax": rmax, "dmax": dmax}
    assert sorted(bounds) == sorted(expected)
    for key in expected:
        assert_close(bounds[key], expected[key], "state", "float32", what=key)


@pytest.mark.parametrize("scale", [0, -1.0])
def test_a_schedule_of_no_length_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="`scale`"):
        renorm_schedule(tf.constant(1), scale)


def test_a_schedule_bounds_the_correction_as_the_steps_go_by(session: Any) -> None:
    step = tf.placeholder(tf.int64, [])
    inputs = tf.constant(distinct(6, 3))
    outputs = batch_normalization(
        inputs, training=True, renorm=True, renorm_clipping=renorm_schedule(step), name="bn"
    )
    plain = batch_normalization(inputs, training=True)
    session.run(tf.global_variables_initializer())

    early, same = session.run([outputs, plain], {step: 4000})
    late = session.run(outputs, {step: 40000})

    assert_close(early, same, "output", "float32")
    assert (late.mean(0) > 0.5).any()


@pytest.mark.parametrize("fused", [True, False])
def test_a_tiny_epsilon_is_raised_by_the_fused_kernel_alone(fused: bool, session: Any) -> None:
    x = (distinct(2, 3, 2, 4) * 1e-3).astype("float32")
    outputs = batch_normalization(tf.constant(x), epsilon=1e-8, fused=fused, training=True)
    session.run(tf.global_variables_initializer())

    wide = x.astype("float64")
    mean, variance = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    expected = (wide - mean) / np.sqrt(variance + (1.001e-5 if fused else 1e-8))
    assert_close(session.run(outputs), expected, "output", "float32")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once(dtype: str, session: Any) -> None:
    # Mean 8 and spread 0.25: an affine step in half precision would lose the input's last digits.
    x = (8.0 + 0.25 * distinct(6, 3) / 5.0).astype("float32")
    inputs = tf.cast(tf.constant(x), dtype)
    outputs = batch_normalization(inputs, training=True)
    session.run(tf.global_variables_initializer())

    rounded, y = session.run([tf.cast(inputs, tf.float32), tf.cast(outputs, tf.float32)])

    wide = rounded.astype("float64")
    assert outputs.dtype.name == dtype
    assert_close(y, normalized(wide), "rounding", dtype)


@pytest.mark.parametrize("learned", [{}, {"scale": False}, {"scale": False, "center": False}])
@pytest.mark.parametrize("renorm", [False, True])
@pytest.mark.parametrize("form", ["scalar", "per channel", "per example"])
def test_an_adjustment_may_be_of_any_shape_that_broadcasts(
    learned: dict, renorm: bool, form: str, session: Any
) -> None:
    shape = {"scalar": [], "per channel": [1, 5, 1], "per example": [4, 1, 1]}[form]
    scale, bias = (distinct(20)[: max(1, np.prod(shape, dtype=int))].reshape(shape) for _ in "ab")
    x = distinct(4, 3, 5).transpose(0, 2, 1)
    outputs = batch_normalization(
        tf.constant(x),
        axis=1,
        training=True,
        adjustment=lambda _: (tf.constant(scale), tf.constant(2.0 * bias)),
        renorm=renorm,
        renorm_clipping=STILL["renorm_clipping"],
        name="bn",
        **learned,
    )
    state = set_distinct_state(session)

    x_hat = normalized(x, channel_axes=(1,))
    gamma = state.get("bn/gamma", np.ones(5)).reshape(1, 5, 1)
    beta = state.get("bn/beta", np.zeros(5)).reshape(1, 5, 1)
    expected = (x_hat * scale + 2.0 * bias) * gamma + beta
    assert_close(session.run(outputs), expected, "output", "float32")


def test_momentum_may_be_a_tensor_or_an_int(session: Any) -> None:
    momentum = tf.placeholder(tf.float32, [])
    x = distinct(2, 1, 3, 4)
    by_tensor = BatchNormalization(momentum=momentum, moving_mean_initializer="ones")
    by_int = BatchNormalization(momentum=1)
    for layer in (by_tensor, by_int):
        layer(tf.constant(x), training=True)
    session.run(tf.global_variables_initializer())

    session.run(update_ops(), {momentum: 0.25})

    expected = 0.25 + 0.75 * x.astype("float64").mean((0, 1, 2))
    assert_close(session.run(by_tensor.moving_mean), expected, "state", "float32")
    np.testing.assert_array_equal(session.run(by_int.moving_mean), np.zeros(4))


# The gradient takes r and d as constants, so differences agree where they are.
STILL = {"renorm": True, "renorm_clipping": {"rmin": 1.0, "rmax": 1.0, "dmax": 0.0}}


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [{}, {"fused": False}, {"axis": [1, 3]}, {"axis": 2}, {"virtual_batch_size": 2}, STILL],
)
@pytest.mark.parametrize("dynamic", [False, True], ids=["constant", "placeholder"])
def test_second_derivatives_agree_with_finite_differences(arguments: dict, dynamic: bool) -> None:
    """Gradient penalties differentiate the gradient; float64 where the kernel has it."""
    dtype = "float32" if arguments == {} else "float64"
    x, direction = (distinct(4, 3, 2, 5, seed=seed).astype(dtype) for seed in (7, 5))
    with make_session(tf.get_default_graph()) as session:
        inputs = tf.placeholder(dtype, x.shape)
        training = tf.placeholder_with_default(True, []) if dynamic else True
        outputs = batch_normalization(inputs, training=training, epsilon=0.1, **arguments)
        slope = tf.gradients(tf.reduce_sum(tf.sin(outputs)), inputs)[0]
        along = tf.reduce_sum(slope * direction)
        curvature = tf.gradients(along, inputs)[0]
        session.run(tf.global_variables_initializer())

        found = np.sum(session.run(curvature, {inputs: x}) * direction)
        step = 1e-2 if dtype == "float32" else 1e-5
        ahead, behind = (session.run(along, {inputs: x + s * direction}) for s in (step, -step))

    assert_close(found, (ahead - behind) / (2 * step), "finite difference", dtype)
