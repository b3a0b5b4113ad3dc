"""Layers that are built once and fed with many examples."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from tests.conftest import make_session, tensorflow
from tests.reference import Norm

tf = tensorflow()
SEEN = "bn"


class Layer(NamedTuple):
    """A norm, the shape it is for (the batch is left open where it may be) and how it is built.

    `subclass`: by one that computes its own moments, from those of the class it extends.
    """

    norm: Norm
    shape: tuple
    dtype: str = "float64"
    axis: Any = None
    fused: bool | None = False
    phase: Any = "placeholder"
    subclass: bool = False

    @property
    def open_batch(self) -> bool:
        return 0 not in self.norm.channel_axes


def arguments(layer: Layer) -> dict:
    """The call's arguments, from what the reference is told."""
    norm = layer.norm
    axes = list(norm.channel_axes)
    given: dict = {
        "axis": layer.axis if layer.axis is not None else axes[0] if len(axes) == 1 else axes,
        "momentum": norm.kept,
        "epsilon": norm.epsilon,
        "center": norm.center,
        "scale": norm.scale,
        "fused": layer.fused,
    }
    if norm.renorm:
        clipping = {"rmin": norm.rmin, "rmax": norm.rmax, "dmax": norm.dmax}
        given.update(
            renorm=True,
            renorm_momentum=norm.renorm_kept,
            renorm_clipping={key: value for key, value in clipping.items() if value is not None},
        )
    if norm.ghost is not None:
        given["virtual_batch_size"] = norm.ghost
    if norm.adjustment is not None:
        constants = norm.adjustment
        given["adjustment"] = lambda shape: tuple(tf.constant(c, layer.dtype) for c in constants)
    return given


def built_by(layer: Layer) -> Any:
    """The class of the layer."""
    from tf1_bn import BatchNormalization

    class OwnMoments(BatchNormalization):
        def _moments(self, inputs: Any, reduction_axes: Any, keep_dims: bool) -> Any:
            return super()._moments(inputs, reduction_axes, keep_dims)

    return OwnMoments if layer.subclass else BatchNormalization


class Bench:
    """One layer in a graph of its own; `run` is one step from a given state."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        with tf.Graph().as_default() as graph:
            known = [None, *layer.shape[1:]] if layer.open_batch else layer.shape
            self.x = tf.placeholder(layer.dtype, known)
            self.epsilon = tf.placeholder(layer.dtype, [])
            self.training = tf.placeholder(tf.bool, [])
            given = arguments(layer)
            if not layer.fused and layer.fused is not None:
                given["epsilon"] = self.epsilon
            training = self.training if layer.phase == "placeholder" else layer.phase
            self.y = built_by(layer)(name=SEEN, **given)(self.x, training=training)
            self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
            self.variables = {v.op.name.split("/")[-1]: v for v in tf.global_variables()}
            self._add_derivatives()
        self.session = make_session(graph)

    def _add_derivatives(self) -> None:
        """First and second derivative of a loss along one direction in input and parameters."""
        dtype = self.layer.dtype
        targets = {"x": self.x}
        targets.update((k, v) for k, v in self.variables.items() if k in ("gamma", "beta"))
        self.weights = tf.placeholder(dtype, self.x.shape)
        self.directions = {k: tf.placeholder(dtype, t.shape) for k, t in targets.items()}
        loss = tf.reduce_sum(tf.sin(self.y) * self.weights)
        self.slope = self._along(loss, targets)
        self.curvature = self._along(self.slope, targets)

    def _along(self, loss: Any, targets: dict) -> Any:
        found = zip(targets, tf.gradients(loss, list(targets.values())))
        return tf.add_n([tf.reduce_sum(g * self.directions[key]) for key, g in found])

    def load(self, state: dict) -> None:
        feed = {
            v.initializer.inputs[1]: np.reshape(state[name], v.shape.as_list())
            for name, v in self.variables.items()
        }
        self.session.run([v.initializer for v in self.variables.values()], feed)

    def state(self) -> dict:
        """Every variable as a vector."""
        values = self.session.run(self.variables)
        return {name: value.reshape(-1) for name, value in values.items()}

    def feed(self, x: Any, training: bool, epsilon: float | None = None) -> dict:
        epsilon = self.layer.norm.epsilon if epsilon is None else epsilon
        return {self.x: x, self.training: training, self.epsilon: epsilon}

    def run(
        self, x: Any, state: dict, training: bool = True, epsilon: float | None = None
    ) -> tuple:
        """Outputs, and the state after the updates."""
        self.load(state)
        y, _ = self.session.run([self.y, self.updates], self.feed(x, training, epsilon))
        return y, self.state()


@functools.lru_cache(maxsize=None)
def bench(layer: Layer) -> Bench:
    return Bench(layer)


def draw(layer: Layer, seed: int, batch: int | None = None) -> Any:
    """Random data whose channels differ in centre and width, and are never without width."""
    random = np.random.RandomState(seed)
    shape = list(layer.shape)
    if batch is not None and layer.open_batch:
        shape[0] = batch
    widths = [n if a in layer.norm.channel_axes else 1 for a, n in enumerate(shape)]
    x = random.standard_normal(shape) * random.uniform(0.4, 3.0, widths)
    return (x + random.uniform(-4.0, 4.0, widths)).astype(layer.dtype)


def draw_state(layer: Layer, seed: int) -> dict:
    """A value of its own for each variable and channel."""
    random = np.random.RandomState(seed)
    channels = int(np.prod([layer.shape[axis] for axis in layer.norm.channel_axes]))
    ranges = {"moving_variance": (0.3, 2.5), "moving_stddev": (0.6, 1.6), "gamma": (0.5, 1.75)}
    ranges["renorm_stddev"] = ranges["moving_stddev"]
    state = {}
    for name in ("gamma", "beta", "moving_mean", "moving_variance", "moving_stddev",
                 "renorm_mean", "renorm_stddev"):  # fmt: skip
        state[name] = random.uniform(*ranges.get(name, (-1.0, 1.0)), channels).astype(layer.dtype)
    return {name: state[name] for name in bench(layer).variables}
