# SPDX-License-Identifier: Apache-2.0
"""Initializers, regularizers and constraints that are given by name, class or config, as in TF1."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

import numpy as np

from .plan.spec import in_both_words
from .runtime.tensorflow_v1 import Tensor, tf

_EPSILON = 1e-7


class Named(NamedTuple):
    """A regularizer or constraint that was made of a name or config, with the numbers of TF1.

    Attributes:
      class_name: what Keras calls it in configs.
      function: of a variable and of `arguments`.
      arguments: by name; each is an attribute as well, as of Keras' own objects.
    """

    class_name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]

    def __call__(self, variable: Any) -> Any:
        return self.function(variable, **self.arguments)

    def __getattr__(self, name: str) -> Any:
        if name not in self.arguments:
            raise AttributeError(f"{self.class_name} has no attribute {name!r}")
        return self.arguments[name]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return dict(self.arguments)


def resolve(argument: str, given: Any) -> Any:
    """What a name, class or config stands for; functions stay as they are.

    Args:
      argument: the name of the argument, which ends in "initializer", "regularizer" or
        "constraint".
      given: what it was given; not None.

    Returns:
      A callable, or an initializer that `tf.get_variable` takes.

    Raises:
      ValueError: an unknown name, or nothing the object can be made of.
      TypeError: the config does not fit.
    """
    kind = argument.rpartition("_")[2]
    if kind == "initializer":
        return _initializer(argument, given)
    return given if callable(given) else _named(argument, kind, given)


def config_of(given: Any) -> Any:
    """A JSON-ready config where it is one of TensorFlow's or of TF1's, itself otherwise."""
    if isinstance(given, (str, Mapping)) or not hasattr(given, "get_config"):
        return given
    name = given.class_name if isinstance(given, Named) else type(given).__name__
    return {"class_name": name, "config": given.get_config()}


# -- initializers --------------------------------------------------------------------------------

# Names as Keras spelled them in TF1, with Keras' defaults where they differ from TensorFlow's.
_INITIALIZERS: Mapping[str, tuple[str, dict[str, float]]] = {
    "zeros": ("zeros", {}),
    "zero": ("zeros", {}),
    "ones": ("ones", {}),
    "one": ("ones", {}),
    "constant": ("constant", {}),
    "randomuniform": ("random_uniform", {"minval": -0.05, "maxval": 0.05}),
    "uniform": ("random_uniform", {"minval": -0.05, "maxval": 0.05}),
    "randomnormal": ("random_normal", {"stddev": 0.05}),
    "normal": ("random_normal", {"stddev": 0.05}),
    "truncatednormal": ("truncated_normal", {"stddev": 0.05}),
    "variancescaling": ("variance_scaling", {}),
    "orthogonal": ("orthogonal", {}),
    "identity": ("identity", {}),
    "glorotuniform": ("glorot_uniform", {}),
    "glorotnormal": ("glorot_normal", {}),
    "lecununiform": ("lecun_uniform", {}),
    "lecunnormal": ("lecun_normal", {}),
    "heuniform": ("he_uniform", {}),
    "henormal": ("he_normal", {}),
}


def _initializer(argument: str, given: Any) -> Any:
    rule = (
        f"`{argument}` must be a callable, a class, None or a name among {sorted(_INITIALIZERS)} "
        f"(got {given!r})."
    )
    name: Any = given
    config: Mapping[str, Any] = {}
    if isinstance(given, Mapping) and "class_name" in given:
        name, config = given["class_name"], given.get("config") or {}
    elif isinstance(given, type):
        return given()
    elif callable(given):
        return given
    elif not isinstance(given, str):
        phrase = f"Could not interpret initializer identifier: {given}"
        raise in_both_words(ValueError, rule, phrase)
    key = name.replace("_", "").lower()
    if key not in _INITIALIZERS:
        raise in_both_words(ValueError, rule, f"Unknown initializer: {name}")
    attribute, defaults = _INITIALIZERS[key]
    return getattr(tf.initializers, attribute)(**{**defaults, **config})


# -- regularizers and constraints ----------------------------------------------------------------


def _l1_l2(x: Any, l1: float, l2: float) -> Tensor:
    """`l1 * sum(|x|) + l2 * sum(x^2)`, a scalar of the dtype of `x`."""
    if not l1 and not l2:
        return tf.constant(0.0)
    # Begun with a number, so that the loss has the name that TF1 gave it.
    total: Any = 0.0
    if l1:
        total += l1 * tf.reduce_sum(tf.abs(x))
    if l2:
        total += l2 * tf.reduce_sum(tf.square(x))
    return total


def _named_l1_l2(l1: float = 0.0, l2: float = 0.0) -> Named:
    # Rounded to float32, as in TF1.
    return Named("L1L2", _l1_l2, {"l1": float(np.float32(l1)), "l2": float(np.float32(l2))})


def _l1(l: float = 0.01) -> Named:  # noqa: E741, the key in Keras' configs
    return _named_l1_l2(l1=l)


def _l2(l: float = 0.01) -> Named:  # noqa: E741
    return _named_l1_l2(l2=l)


def _same(w: Any) -> Any:
    return w


def _non_neg(w: Any) -> Tensor:
    return w * tf.cast(tf.greater_equal(w, 0.0), w.dtype.base_dtype)


def _min_max_norm(
    w: Any, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
) -> Tensor:
    """Moves the norm along `axis` into [min_value, max_value], by `rate` of the way."""
    norm = _norm(w, axis)
    clipped = tf.clip_by_value(norm, float(min_value), float(max_value))
    wanted = rate * clipped + (1 - rate) * norm
    return w * (wanted / (_EPSILON + norm))


def _max_norm(w: Any, max_value: float = 2, axis: Any = 0) -> Tensor:
    norm = _norm(w, axis)
    return w * (tf.clip_by_value(norm, 0.0, float(max_value)) / (_EPSILON + norm))


def _unit_norm(w: Any, axis: Any = 0) -> Tensor:
    return w / (_EPSILON + _norm(w, axis))


def _norm(w: Any, axis: Any) -> Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(w), axis=axis, keepdims=True))


def _factory(class_name: str, function: Callable[..., Any]) -> Callable[..., Named]:
    """Makes the constraint of a config: the arguments of `function` behind the variable."""

    def make(**config: Any) -> Named:
        bound = inspect.signature(function).bind(None, **config)
        bound.apply_defaults()
        _, *arguments = bound.arguments.items()
        return Named(class_name, function, dict(arguments))

    return make


_NAMED: Mapping[str, Mapping[str, Callable[..., Named]]] = {
    "regularizer": {
        "L1L2": _named_l1_l2,
        "l1": _l1,
        "l2": _l2,
        "l1_l2": lambda l1=0.01, l2=0.01: _named_l1_l2(l1, l2),
        # Later Keras wrote these into its configs.
        "L1": lambda l1=0.01: _named_l1_l2(l1=l1),
        "L2": lambda l2=0.01: _named_l1_l2(l2=l2),
    },
    "constraint": {
        name: _factory(names[0], function)
        for function, names in {
            _same: ("Constraint",),
            _non_neg: ("NonNeg", "non_neg", "nonneg"),
            _max_norm: ("MaxNorm", "max_norm", "maxnorm"),
            _unit_norm: ("UnitNorm", "unit_norm", "unitnorm"),
            _min_max_norm: ("MinMaxNorm", "min_max_norm"),
        }.items()
        for name in names
    },
}


def _named(argument: str, kind: str, given: Any) -> Named:
    factories = _NAMED[kind]
    rule = (
        f"`{argument}` must be None, a callable, a name among {sorted(factories)} or a dict of "
        f"`class_name` and `config` (got {given!r})."
    )
    if isinstance(given, Mapping):
        if not {"class_name", "config"} <= set(given):
            raise in_both_words(ValueError, rule, "Improper config format")
        name, config = given["class_name"], given["config"]
    elif isinstance(given, str):
        name, config = given, {}
    else:
        phrase = f"Could not interpret {kind} identifier: {given!r}"
        raise in_both_words(ValueError, rule, phrase)
    if name not in factories:
        raise in_both_words(ValueError, rule, f"Unknown {kind}: {name}")
    try:
        return factories[name](**config)
    except TypeError as error:
        raise TypeError(f"{error}: {rule}") from error
