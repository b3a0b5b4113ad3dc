"""The kernels and the ways of differentiating them, and the derivatives in float64 NumPy.

The loss is sum(weights * sin(outputs)), so that it has a second derivative in everything. No
TensorFlow is imported here.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from tests.reference import Norm, new_state, slopes, train

EPSILON = 1e-3
STEP = 1e-5
# Of three losses; the first one is that of all ways but the Jacobians.
LOSSES = 3
# Averages that stand still: every way of one kernel sees the same renorm correction.
STILL = {"momentum": 1.0, "epsilon": EPSILON}
RENORM = {
    "renorm": True,
    "renorm_momentum": 1.0,
    "renorm_clipping": {"rmin": 0.5, "rmax": 1.5, "dmax": 0.75},
}


class Case(NamedTuple):
    """A layer that gets one kernel: the shape of its batch and its arguments.

    `parts` are the sizes of the shards of merged statistics; an `adjustment` is "channels" or
    "examples", which is what its numbers belong to. `why` is in the description of its kernel.
    """

    shape: tuple
    why: str
    options: dict
    parts: tuple = ()
    adjustment: str = ""

    @property
    def channel_axes(self) -> list:
        axes = self.options.get("axis", -1)
        axes = axes if isinstance(axes, list) else [axes]
        return [axis % len(self.shape) for axis in axes]

    @property
    def channels(self) -> int:
        return int(np.prod([self.shape[axis] for axis in self.channel_axes]))


KERNELS = {
    "fused": Case((5, 4, 3, 6), "fused", {}),
    "fused, channels first": Case((5, 6, 4, 3), "fused", {"axis": 1}),
    "composed": Case((11, 5), "composed", {"fused": False}),
    "rows": Case((24, 5), "fused=True", {"fused": True}),
    "rows of rank 3": Case((7, 6, 5), "fused=True", {"fused": True}),
    "columns": Case((64, 7, 10), "columns", {"axis": 1, "fused": False}),
    "columns of axes apart": Case((47, 6, 13, 10), "columns", {"axis": [1, 3], "fused": False}),
    "renorm rows": Case((24, 5), "fused=True", {"fused": True, **RENORM}),
    "renorm images": Case((5, 4, 3, 6), "fused=True", {"fused": True, **RENORM}),
    "renorm columns": Case((64, 7, 10), "columns", {"axis": 1, "fused": False, **RENORM}),
    "renorm": Case((11, 5), "composed", {"fused": False, **RENORM}),
    "ghost rows": Case((24, 5), "fused=True", {"fused": True, "virtual_batch_size": 6}),
    "ghosts": Case((12, 5), "composed", {"fused": False, "virtual_batch_size": 4}),
    "renorm of ghosts": Case(
        (24, 5), "fused=True", {"fused": True, "virtual_batch_size": 6, **RENORM}
    ),
    "adjusted channels": Case((11, 5), "composed", {"fused": False}, adjustment="channels"),
    "adjusted rows": Case((24, 5), "fused=True", {"fused": True}, adjustment="examples"),
    "towers": Case((11, 5), "", {}, parts=(7, 4)),
    "replicas": Case((13, 5), "", {}, parts=(7, 6)),
}


# One for each gradient by hand that graphs of earlier versions name, kept in `data`.
OLD = {
    "old normalize": Case((11, 5), "composed", {"fused": False}),
    "old moments": Case((24, 5), "fused=True", {"fused": True}),
    "old op": Case((24, 5), "fused=True", {"fused": True, **RENORM}),
    "old columns": Case((7, 3, 4, 2), "columns", {"axis": [1, 3], "fused": True}),
}
_ALL = {**KERNELS, **OLD}


class Data(NamedTuple):
    """Inputs and parameters in float64; every value is one that float32 has."""

    x: Any
    gamma: Any
    beta: Any
    weights: Any
    direction: Any
    scale: Any
    offset: Any


def data_of(kernel: str) -> Data:
    """What the layer of a kernel is given; channels differ in mean and deviation."""
    case = _ALL[kernel]
    rng = np.random.RandomState(sum(map(ord, kernel)))
    broadcast = [size if axis in case.channel_axes else 1 for axis, size in enumerate(case.shape)]
    widths, means = rng.uniform(0.5, 2.0, broadcast), rng.uniform(-1.0, 1.5, broadcast)
    x = rng.standard_normal(case.shape) * widths + means
    gamma, beta = rng.uniform(0.5, 1.5, case.channels), rng.uniform(-0.5, 0.5, case.channels)
    weights = rng.standard_normal([LOSSES, *case.shape])
    direction = rng.standard_normal(case.shape)
    per = {"channels": broadcast, "examples": [case.shape[0]] + [1] * (len(case.shape) - 1)}
    scale, offset = np.ones(1), np.zeros(1)
    if case.adjustment:
        shape = per[case.adjustment]
        scale, offset = rng.uniform(0.5, 1.5, shape), rng.uniform(-0.5, 0.5, shape)
    values = (x, gamma, beta, weights, direction, scale, offset)
    return Data(*(value.astype("float32").astype("float64") for value in values))


class Derivatives(NamedTuple):
    """By inputs, gamma and beta; the latter two are `[channels]`."""

    x: Any
    gamma: Any
    beta: Any


class Truth(NamedTuple):
    """Attributes:
    first: the gradient of each loss.
    second: the derivatives of sum(the first loss' gradient by x * direction).
    hessian: the second derivative of the first loss by gamma, its diagonal; the rest is 0.
    outputs: of the layer.
    """

    first: list
    second: Derivatives
    hessian: Any
    outputs: Any


def truth_of(kernel: str) -> Truth:
    """The derivatives of a training call of that kernel's layer."""
    data, norm = data_of(kernel), norm_of(kernel)
    correction = train(norm, data.x, new_state(data.gamma, data.beta)).correction

    def gradient(x: Any, gamma: Any, weights: Any) -> Derivatives:
        """Of sum(weights * sin(outputs)); renorm's correction is a constant."""
        state = new_state(gamma, data.beta)
        outputs = train(norm, x, state, correction).outputs
        return Derivatives(*slopes(norm, x, state, weights * np.cos(outputs), True, correction))

    first = data.weights[0]
    ends = [gradient(data.x + sign * STEP * data.direction, data.gamma, first) for sign in (1, -1)]
    second = Derivatives(*((high - low) / (2 * STEP) for high, low in zip(*ends)))
    # A channel's gamma moves no other channel, so one difference has the whole diagonal.
    ends = [gradient(data.x, data.gamma + sign * STEP, first) for sign in (1, -1)]
    hessian = (ends[0].gamma - ends[1].gamma) / (2 * STEP)
    outputs = train(norm, data.x, new_state(data.gamma, data.beta), correction).outputs
    found = [gradient(data.x, data.gamma, weights) for weights in data.weights]
    return Truth(found, second, hessian, outputs)


def norm_of(kernel: str) -> Norm:
    """The layer of a kernel, as the reference is asked for it."""
    case, data = _ALL[kernel], data_of(kernel)
    clips = case.options.get("renorm_clipping", {})
    # Scale and offset stand before rows of `[examples, positions, channels]`.
    per = {"channels": [-1], "examples": [-1, 1, 1]}.get(case.adjustment)
    return Norm(
        tuple(case.channel_axes),
        epsilon=EPSILON,
        renorm=case.options.get("renorm", False),
        rmin=clips.get("rmin"),
        rmax=clips.get("rmax"),
        dmax=clips.get("dmax"),
        ghost=case.options.get("virtual_batch_size"),
        adjustment=(data.scale.reshape(per), data.offset.reshape(per)) if per else None,
    )


# What the derivatives of a way are compared with; the rest are those of the first loss.
SECOND = (
    "tf.gradients twice",
    "nested tapes",
    "tape over tf.gradients",
    "tf.gradients over tape",
    "nested inside",
    "nested outside",
    "tapes on both sides",
    "gradients twice",
    "tape over gradients",
    "gradients over tape",
)
HESSIANS = ("hessians", "jacobian of gradient", "jacobian of gradient inside")
JACOBIANS = ("jacobian", "jacobian inside", "jacobian outside")

# In plain graphs. A tape refuses the conditionals of control flow v1 by TensorFlow's own words.
OF_GRADIENTS = ("tf.gradients", "tf.gradients twice", "hessians", "in place, tf.gradients")
OF_TAPES = (
    "tape",
    "nested tapes",
    "tape over tf.gradients",
    "tf.gradients over tape",
    "recompute_grad",
    "jacobian",
    "jacobian of gradient",
    "in place, tape",
)
OF_FUNCTIONS = (
    "nested inside",
    "tape outside",
    "tape inside",
    "nested outside",
    "tapes on both sides",
    "gradients inside",
    "gradients twice",
    "tape over gradients",
    "gradients over tape",
    "recompute inside",
    "jacobian inside",
    "jacobian outside",
    "jacobian of gradient inside",
    "vectorized_map",
    "check_numerics",
    "check_numerics, gradients",
)
OF_FED = ("tf.gradients twice", "nested tapes")
# TensorFlow itself fails for these behind its functional `tf.cond`, whatever ops stand in it.
REFUSED_V2 = ("tape over tf.gradients", "jacobian of gradient")
# Every way is tried on these, and on the others only where all pairs are asked for.
FEW = ("fused", "composed", "rows", "columns", "renorm rows")
ALL = os.environ.get("TF1_BN_TEST_WAYS", "") == "all"
# And nothing is tried on the others, but for the towers, which are no kernel.
FEW_ONLY = os.environ.get("TF1_BN_TEST_WAYS", "") == "few"
# The rest would take too long; a fed phase adds a conditional to the same ops.
OF_FED_FUNCTIONS = ("nested inside", "tape outside", "tape inside", "gradients twice")
# Within the function of a replica; a tape in a plain graph is refused there.
OF_REPLICAS = (
    "tf.gradients",
    "tf.gradients twice",
    "tape",
    "nested tapes",
    "tape over tf.gradients",
    "tf.gradients over tape",
)
COMPILED = ("fused", "composed", "rows", "columns", "renorm rows", "ghost rows")


def pairs(kind: str) -> list:
    """Kernels, ways and phases of a kind of program, all of which must be right."""
    if kind == "replicas":
        return [
            ("replicas", way, phase) for way in OF_REPLICAS[:2] for phase in ("True", "fed, v1")
        ]
    if kind == "replicas_function":
        return [("replicas", way, "True") for way in OF_REPLICAS] + [
            # A tape over tf.gradients over any `tf.cond` of a function is an AssertionError.
            ("replicas", way, "fed")
            for way in OF_REPLICAS
            if way != "tape over tf.gradients"
        ]
    found = []
    for kernel in KERNELS:
        if kernel == "replicas" or (kernel == "towers" and kind == "function"):
            continue
        if FEW_ONLY and kernel not in (*FEW, "towers"):
            continue
        full = ALL or kernel in FEW
        if kind == "graph":
            tapes = () if kernel == "towers" else OF_TAPES
            always = (OF_GRADIENTS + tapes) if full else OF_GRADIENTS[:2] + tapes[:2]
            found += [(kernel, way, "True") for way in always]
            found += [(kernel, way, "fed, v1") for way in OF_GRADIENTS[: None if ALL else 2]]
            found += [
                (kernel, way, "fed, v2")
                for way in always
                if (ALL or way in OF_FED) and way not in REFUSED_V2
            ]
        else:
            always = OF_FUNCTIONS if full else OF_FUNCTIONS[:3]
            mapped = KERNELS[kernel].why in ("composed", "columns")
            always = tuple(way for way in always if mapped or way != "vectorized_map")
            found += [(kernel, way, "True") for way in always]
            found += [(kernel, way, "fed") for way in OF_FED_FUNCTIONS[: None if full else 1]]
            found += [(kernel, "jit_compile", "True")] if kernel in COMPILED else []
    return found


# Ranks 2, 3 and 4, and every kernel that has had a gradient by hand.
EXPORTED = ("fused", "composed", "rows", "rows of rank 3", "columns", "renorm rows", "renorm")
