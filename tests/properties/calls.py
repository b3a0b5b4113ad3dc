"""Random calls of the layer, sane and senseless, with what is expected of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from tests.conftest import tensorflow
from tests.reference import Norm

tf = tensorflow()


class Call(NamedTuple):
    """Arguments as they are given, or a `Made` to be made in the graph, and the wrong ones."""

    shape: tuple
    dtype: str
    arguments: dict
    wrong: tuple


class Made(NamedTuple):
    """A value that needs a graph to exist."""

    label: str
    make: Any

    def __repr__(self) -> str:
        return self.label


def placeholder(dtype: str, shape: Any) -> Made:
    return Made(f"placeholder({dtype}, {shape})", lambda: tf.placeholder(dtype, shape))


ANYTHING = [object(), {}, {"a": 1}, [], (), [0.5], "yes", b"bytes", 1j, lambda: 0, Ellipsis]
NUMBERS = [0.99, 0.5, 0.0, 1.0, 0, 1, np.float32(0.25), np.float64(0.75), np.array(0.5)]
NOT_NUMBERS = [None, "fast", b"x", [0.9], (0.9,), {}, object(), 1j, np.ones(2), lambda: 0.9]
FLAGS = [True, False, 0, 1, np.bool_(True), np.bool_(False)]
NOT_FLAGS = ["yes", "", [], [True], (), {}, Made("bool tensor", lambda: tf.constant(True))]
INITIALIZERS = [
    "zeros",
    "ones",
    "Ones",
    tf.zeros_initializer(),
    tf.ones_initializer,
    tf.constant_initializer(0.5),
    {"class_name": "Constant", "config": {"value": 2.0}},
]
NOT_INITIALIZERS = ["nope", "", 3, 0.5, [], (), object(), np.ones(3), {"a": 1}]
NOT_FUNCTIONS = [3, "l3", "", [], {}, object(), 0.5, True]


def _loss(variable: Any) -> Any:
    return tf.reduce_sum(variable)


def _halved(variable: Any) -> Any:
    return variable * 0.5


def adjust(shape: Any) -> tuple:
    return tf.constant(1.25), tf.constant(-0.5)


SANE: dict = {
    "momentum": NUMBERS,
    "epsilon": [1e-3, 1e-5, 0.25, 1, np.float32(1e-2), np.float64(0.5)],
    "center": FLAGS,
    "scale": FLAGS,
    "trainable": FLAGS,
    "fused": [None, True, False],
    "training": [*FLAGS, 1.0, None, placeholder("bool", []), placeholder("bool", None)],
    "name": [None, "bn", "deep/er/bn", "a.b-c_d"],
    "reuse": [None, False, tf.AUTO_REUSE],
    "renorm_momentum": NUMBERS,
    "beta_initializer": INITIALIZERS,
    "gamma_initializer": INITIALIZERS,
    "moving_mean_initializer": INITIALIZERS,
    "moving_variance_initializer": ["ones", tf.ones_initializer(), tf.constant_initializer(2.0)],
    "beta_regularizer": [None, _loss, "l2"],
    "gamma_regularizer": [None, _loss, lambda variable: None, "L1L2"],
    "beta_constraint": [None, _halved, "non_neg"],
    "gamma_constraint": [None, _halved, "max_norm"],
}
CLIPPINGS = [None, {}, {"rmax": 1.5, "rmin": 0.5, "dmax": 0.25}, {"rmax": None}, {"dmax": 1}]
SENSELESS: dict = {
    "momentum": NOT_NUMBERS,
    "epsilon": NOT_NUMBERS,
    "center": NOT_FLAGS,
    "scale": NOT_FLAGS,
    "trainable": NOT_FLAGS,
    "renorm": NOT_FLAGS,
    "training": [
        *ANYTHING,
        2,
        -1,
        0.5,
        np.array([True]),
        placeholder("bool", [1]),
        placeholder("float32", []),
    ],  # fmt: skip
    "name": [3, 0.5, [], {}, object(), "a b", "ä", "a:b", "a\nb", b"bytes"],
    "reuse": [*ANYTHING, 2, -1, 0.5],
    "beta_initializer": NOT_INITIALIZERS,
    "gamma_initializer": NOT_INITIALIZERS,
    "moving_mean_initializer": NOT_INITIALIZERS,
    "moving_variance_initializer": NOT_INITIALIZERS,
    "beta_regularizer": NOT_FUNCTIONS,
    "gamma_regularizer": NOT_FUNCTIONS,
    "beta_constraint": NOT_FUNCTIONS,
    "gamma_constraint": NOT_FUNCTIONS,
    "adjustment": NOT_FUNCTIONS,
    "virtual_batch_size": [0, -1, -3, 2.0, "2", [], {}, object(), np.float32(2.0)],
    "axis": ["1", "", None, 1.5, [], (), [0.5], [None], {}, object(), 1j, np.ones(2), 99, -99],
    "inputs": [
        None,
        "text",
        [1.0, 2.0],
        object(),
        {},
        np.ones((2, 3), "int32"),
        np.ones((2, 3), "complex64"),
        np.array(["a"]),
        placeholder("float32", None),
        placeholder("int64", [2, 3]),
        placeholder("string", [2, 3]),
        placeholder("bool", [4, 3]),
        Made("sparse", lambda: tf.SparseTensor([[0, 0]], [1.0], [2, 3])),
    ],  # fmt: skip
}
# These are only looked at with renorm.
WITH_RENORM: dict = {
    "renorm_momentum": NOT_NUMBERS,
    "renorm_clipping": [
        3,
        "x",
        [("rmax", 1.0)],
        {"rmx": 1.0},
        {"rmax": "big"},
        {3: 1.0},
        {"dmax": [1.0]},
        object(),
        0.5,
    ],  # fmt: skip
}


@st.composite
def calls(draw: Any, most_wrong: int = 2) -> Call:
    """A call with up to `most_wrong` senseless arguments; the others suit each other."""
    rank = draw(st.integers(1, 5))
    shape = tuple(draw(st.permutations((2, 3, 4, 5, 6))))[:rank]
    given = draw(st.lists(st.sampled_from(sorted(SANE)), unique=True, max_size=6))
    # Left to chance the phase would mostly be its default, which exercises the least.
    arguments = {key: draw(st.sampled_from(SANE[key])) for key in sorted({*given, "training"})}
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=2, unique=True))
    signed = [axis - rank if draw(st.booleans()) else axis for axis in axes]
    form = draw(st.sampled_from(["int", "list", "tuple", "omitted"]))
    if form == "omitted":
        axes = [rank - 1]
    else:
        axes = axes[:1] if form == "int" else axes
        arguments["axis"] = signed[0] if form == "int" else (list, tuple)[form == "tuple"](signed)
    _draw_kind(draw, arguments, shape, axes)
    wrong = []
    for _ in range(draw(st.integers(0, most_wrong))):
        table = dict(SENSELESS, **(WITH_RENORM if arguments.get("renorm") is True else {}))
        key = draw(st.sampled_from(sorted(set(table) - set(wrong))))
        if key == "renorm" and set(wrong) & set(WITH_RENORM):
            continue
        arguments[key] = draw(st.sampled_from(table[key]))
        wrong.append(key)
    dtype = draw(st.sampled_from(["float32", "float64", "float16", "bfloat16"]))
    return Call(shape, dtype, arguments, tuple(wrong))


def _draw_kind(draw: Any, arguments: dict, shape: tuple, axes: list) -> None:
    """Renorm, ghost batches and adjustment, where they may stand together."""
    if draw(st.booleans()):
        arguments["renorm"] = True
        arguments["renorm_clipping"] = draw(st.sampled_from(CLIPPINGS))
    kind = draw(st.sampled_from(["plain", "ghost", "adjusted"]))
    if kind == "ghost" and 0 not in axes:
        divisors = [n for n in range(1, shape[0] + 1) if shape[0] % n == 0]
        arguments["virtual_batch_size"] = draw(st.sampled_from(divisors))
    # A scalar adjustment is float32 here, as most are written.
    if kind == "adjusted":
        arguments["adjustment"] = adjust
        arguments["scale"] = draw(st.booleans())


def made(arguments: dict) -> dict:
    """The arguments with what needs a graph made in the default one."""
    return {k: v.make() if isinstance(v, Made) else v for k, v in arguments.items()}


def norm_of(call: Call, fused: bool) -> Norm:
    """What the reference is told of a sane call."""
    given, rank = call.arguments, len(call.shape)
    axis = given.get("axis", -1)
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    clipping = (given.get("renorm_clipping") or {}) if given.get("renorm") else {}
    return Norm(
        channel_axes=tuple(sorted(a % rank for a in axes)),
        kept=float(given.get("momentum", 0.99)),
        epsilon=float(given.get("epsilon", 1e-3)),
        center=bool(given.get("center", True)),
        scale=bool(given.get("scale", True)),
        renorm=bool(given.get("renorm", False)),
        renorm_kept=float(given.get("renorm_momentum", 0.99)),
        ghost=given.get("virtual_batch_size"),
        fused=fused,
        adjustment=(1.25, -0.5) if "adjustment" in given else None,
        **{key: clipping.get(key) for key in ("rmin", "rmax", "dmax")},
    )
