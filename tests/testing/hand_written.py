"""A batch norm of the kind people write by hand: right, or wrong in one way that is asked for.

It takes the arguments of `tf1_bn.batch_normalization`, as far as the recordings use them.
"""

from __future__ import annotations

import functools
from typing import Any

from tests.conftest import tensorflow

MISTAKES = (
    "swapped_batch_moments",
    "swapped_moving",
    "swapped_parameters",
    "biased",
    "bessel",
    "consecutive_ghosts",
    "no_ghosts",
    "swapped_momentum",
    "other_momentum",
    "other_epsilon",
    "epsilon_outside_root",
    "always_training",
    "always_inference",
    "no_updates",
    "updates_in_inference",
    "no_renorm",
    "no_stop_gradient",
    "no_gradient_through_moments",
    "forgot_beta",
)


def hand_written(mistake: str = "") -> Any:
    """The function; `mistake` is "" or one of `MISTAKES`."""
    assert mistake == "" or mistake in MISTAKES
    return functools.partial(_batch_norm, mistake)


def _batch_norm(
    mistake: str,
    x: Any,
    axis: Any = -1,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    center: bool = True,
    scale: bool = True,
    training: Any = False,
    name: Any = "bn",
    renorm: bool = False,
    renorm_clipping: Any = None,
    renorm_momentum: float = 0.99,
    fused: Any = None,
    virtual_batch_size: Any = None,
    trainable: bool = True,
    adjustment: Any = None,
) -> Any:
    tf = tensorflow()
    rank = x.shape.ndims
    channel_axis = (axis[0] if isinstance(axis, list) else axis) % rank
    channels = x.shape.as_list()[channel_axis]
    fused = fused is not False and rank == 4 and not renorm and virtual_batch_size is None
    broadcast = [channels if a == channel_axis else 1 for a in range(rank)]
    shape = [1, *broadcast] if virtual_batch_size else [channels]
    with tf.variable_scope(name, reuse=tf.AUTO_REUSE):
        state = _variables(tf, shape, scale, center, renorm)
    flag = {"always_training": True, "always_inference": False}.get(mistake, training)
    if flag is None or isinstance(flag, (bool, int)):
        flag = tf.constant(bool(flag))
    if mistake == "swapped_momentum":
        momentum, renorm_momentum = 1.0 - momentum, 1.0 - renorm_momentum
    momentum = 0.5 if mistake == "other_momentum" else momentum
    epsilon = 0.03 if mistake == "other_epsilon" else epsilon

    def broad(value: Any) -> Any:
        return tf.reshape(value, broadcast)

    outputs, mean, variance, count = _batch(
        tf, x, channel_axis, epsilon, virtual_batch_size, mistake
    )
    if renorm and mistake != "no_renorm":
        spread = tf.sqrt(variance + epsilon)
        floor = tf.maximum(broad(state["renorm_stddev"]), epsilon**0.5)
        r, d = spread / floor, (mean - broad(state["renorm_mean"])) / floor
        bounds = renorm_clipping or {}
        r = tf.clip_by_value(r, bounds.get("rmin", 0.0), bounds.get("rmax", 1e30))
        d = tf.clip_by_value(d, -bounds.get("dmax", 1e30), bounds.get("dmax", 1e30))
        if mistake != "no_stop_gradient":
            r, d = tf.stop_gradient(r), tf.stop_gradient(d)
        outputs = outputs * r + d
    moving = [broad(state["moving_mean"]), broad(state["moving_variance"])]
    moving = moving[::-1] if mistake == "swapped_moving" else moving
    inference = (x - moving[0]) * _inverse(tf, moving[1], epsilon, mistake)
    outputs = tf.where(tf.fill(tf.shape(x), flag), outputs, inference)
    gamma, beta = state.get("gamma"), state.get("beta")
    if mistake == "swapped_parameters":
        gamma, beta = beta, gamma
    outputs = outputs if gamma is None else outputs * broad(gamma)
    outputs = outputs if beta is None or mistake == "forgot_beta" else outputs + broad(beta)
    if (fused or mistake == "bessel") and mistake != "biased":
        moved_variance = variance * count / tf.maximum(count - 1.0, 1.0)
    else:
        moved_variance = variance
    if training is not False and mistake != "no_updates":
        always = tf.constant(True) if mistake == "updates_in_inference" else flag
        targets = {"moving_mean": mean, "moving_variance": moved_variance}
        if mistake == "swapped_batch_moments":
            targets = {"moving_mean": moved_variance, "moving_variance": mean}
        _collect_updates(tf, state, targets, epsilon, (momentum, renorm_momentum), always, outputs)
    return outputs


def _variables(tf: Any, shape: Any, scale: bool, center: bool, renorm: bool) -> dict:
    names = (["gamma"] if scale else []) + (["beta"] if center else [])
    names += ["moving_mean", "moving_variance"]
    names += ["moving_stddev", "renorm_mean", "renorm_stddev"] if renorm else []
    return {
        name: tf.get_variable(
            name,
            shape,
            initializer=tf.zeros_initializer()
            if name in ("beta", "moving_mean", "renorm_mean")
            else tf.ones_initializer(),
            trainable=name in ("gamma", "beta"),
        )
        for name in names
    }


def _inverse(tf: Any, variance: Any, epsilon: float, mistake: str) -> Any:
    if mistake == "epsilon_outside_root":
        return 1.0 / (tf.sqrt(variance) + epsilon)
    return tf.math.rsqrt(variance + epsilon)


def _batch(tf: Any, x: Any, channel_axis: int, epsilon: float, size: Any, mistake: str) -> tuple:
    axes = [a for a in range(x.shape.ndims) if a != channel_axis]
    count = tf.cast(tf.size(x) // tf.shape(x)[channel_axis], x.dtype)
    if size is None or mistake == "no_ghosts":
        mean = tf.reduce_mean(x, axes, keepdims=True)
        variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=True)
        if mistake == "no_gradient_through_moments":
            mean, variance = tf.stop_gradient(mean), tf.stop_gradient(variance)
        return (x - mean) * _inverse(tf, variance, epsilon, mistake), mean, variance, count
    rest = x.shape.as_list()[1:]
    consecutive = mistake == "consecutive_ghosts"
    ghosts = tf.reshape(x, [-1, size, *rest] if consecutive else [size, -1, *rest])
    axes = [1 if consecutive else 0] + [a + 1 for a in axes if a > 0]
    mean = tf.reduce_mean(ghosts, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(ghosts - mean), axes, keepdims=True)
    outputs = (ghosts - mean) * _inverse(tf, variance, epsilon, mistake)
    over = 0 if consecutive else 1
    return (
        tf.reshape(outputs, tf.shape(x)),
        tf.reduce_mean(mean, over),
        tf.reduce_mean(variance, over),
        count,
    )


def _collect_updates(
    tf: Any, state: dict, targets: dict, epsilon: float, momenta: tuple, active: Any, outputs: Any
) -> None:
    """Puts two ops into the collection, as TF1 does; with renorm each does more than one thing."""
    momentum, renorm_momentum = momenta

    def moved(name: str, value: Any, kept: float) -> Any:
        variable = state[name]
        rate = tf.where(active, tf.constant(1.0 - kept), tf.constant(0.0))
        step = (variable - tf.reshape(value, variable.shape)) * rate
        return tf.assign_sub(variable, step)

    mean, variance = targets["moving_mean"], targets["moving_variance"]
    # Everything is computed from the values before this step.
    with tf.control_dependencies([outputs]):
        if "renorm_mean" not in state:
            pair = [moved(k, v, momentum) for k, v in targets.items()]
        else:
            spread = tf.sqrt(variance + epsilon)
            stddev = moved("moving_stddev", spread, momentum)
            with tf.control_dependencies([stddev]):
                squared = tf.square(state["moving_stddev"].read_value()) - epsilon
                kept = tf.where(active, tf.nn.relu(squared), state["moving_variance"].read_value())
                second = tf.assign(state["moving_variance"], kept)
            first = [
                moved("moving_mean", mean, momentum),
                moved("renorm_mean", mean, renorm_momentum),
                moved("renorm_stddev", spread, renorm_momentum),
            ]
            pair = [tf.group(*first), second]
    for update in pair:
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, getattr(update, "op", update))
