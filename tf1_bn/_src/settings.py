# SPDX-License-Identifier: Apache-2.0
"""Initializers, regularizers and constraints that are given by name, class or config, as in TF1."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Callable

import numpy as np

from .plan.spec import in_both_words
from .runtime.tensorflow_v1 import Tensor, tf

_EPSILON = 1e-7


class Named:
    """A regularizer or constraint that was made of a name or config, with the numbers of TF1.

    Each kind is a class of its own, whose name Keras writes into configs. Its arguments are
    attributes, and a new value of one counts from the next call on.
    """

    function: Callable[..., Any]

    def __init__(self, *given: Any, **by_name: Any) -> None:
        bound = inspect.signature(self.function).bind(None, *given, **by_name)
        bound.apply_defaults()
        _, *arguments = bound.arguments.items()
        vars(self).update(arguments)

    def __call__(self, variable: Any) -> Any:
        return self.function(variable, **self.get_config())

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        _, *names = inspect.signature(self.function).parameters
        return {name: getattr(self, name) for name in names}


def _kind(class_name: str, function: Callable[..., Any]) -> type[Named]:
    """The class for `function` of a variable and of arguments."""
    body = {"__doc__": function.__doc__, "__module__": __name__, "function": staticmethod(function)}
    return type(class_name, (Named,), body)


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
    return {"class_name": type(given).__name__, "config": given.get_config()}


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


def _l1_l2(x: Any, l1: float = 0.0, l2: float = 0.0) -> Tensor:
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


def _same(w: Any) -> Any:
    """Leaves a variable as it is."""
    return w


def _non_neg(w: Any) -> Tensor:
    """Sets negative values of a variable to 0."""
    return w * tf.cast(tf.greater_equal(w, 0.0), w.dtype.base_dtype)


def _min_max_norm(
    w: Any, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
) -> Tensor:
    """Moves the norm of a variable along `axis` into [min_value, max_value], `rate` of the way."""
    norm = _norm(w, axis)
    clipped = tf.clip_by_value(norm, float(min_value), float(max_value))
    wanted = rate * clipped + (1 - rate) * norm
    return w * (wanted / (_EPSILON + norm))


def _max_norm(w: Any, max_value: float = 2, axis: Any = 0) -> Tensor:
    """Moves the norm of a variable along `axis` to at most `max_value`."""
    norm = _norm(w, axis)
    return w * (tf.clip_by_value(norm, 0.0, float(max_value)) / (_EPSILON + norm))


def _unit_norm(w: Any, axis: Any = 0) -> Tensor:
    """Divides a variable by its norm along `axis`."""
    return w / (_EPSILON + _norm(w, axis))


def _norm(w: Any, axis: Any) -> Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(w), axis=axis, keepdims=True))


L1L2 = _kind("L1L2", _l1_l2)
Constraint = _kind("Constraint", _same)
NonNeg = _kind("NonNeg", _non_neg)
MinMaxNorm = _kind("MinMaxNorm", _min_max_norm)
MaxNorm = _kind("MaxNorm", _max_norm)
UnitNorm = _kind("UnitNorm", _unit_norm)


def _named_l1_l2(l1: float = 0.0, l2: float = 0.0) -> Named:
    # Rounded to float32, as in TF1.
    return L1L2(float(np.float32(l1)), float(np.float32(l2)))


def _l1(l: float = 0.01) -> Named:  # noqa: E741, the key in Keras' configs
    return _named_l1_l2(l1=l)


def _l2(l: float = 0.01) -> Named:  # noqa: E741
    return _named_l1_l2(l2=l)


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
        "Constraint": Constraint,
        **dict.fromkeys(("NonNeg", "non_neg", "nonneg"), NonNeg),
        **dict.fromkeys(("MaxNorm", "max_norm", "maxnorm"), MaxNorm),
        **dict.fromkeys(("UnitNorm", "unit_norm", "unitnorm"), UnitNorm),
        **dict.fromkeys(("MinMaxNorm", "min_max_norm"), MinMaxNorm),
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
