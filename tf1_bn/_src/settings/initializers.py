# SPDX-License-Identifier: Apache-2.0
"""Initializers by name, class, config or callable, as the arguments of TF1 layers take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime.tensorflow_v1 import tf

# Names as Keras spelled them in TF1, with Keras' defaults where they differ from TensorFlow's.
_NAMED = {
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


def resolve_initializer(argument: str, initializer: Any) -> Any:
    """Turns a name, class, config dict, callable or None into what `get_variable` takes.

    None stays None: the variable scope's initializer is used.

    Raises:
      ValueError: nothing an initializer can be made of.
    """
    if initializer is None:
        return None
    if isinstance(initializer, str):
        return _by_name(argument, initializer, {})
    if isinstance(initializer, Mapping) and "class_name" in initializer:
        return _by_name(argument, initializer["class_name"], initializer.get("config") or {})
    if isinstance(initializer, type):
        return initializer()
    if callable(initializer):
        return initializer
    raise ValueError(
        f"Could not interpret initializer identifier: {initializer}: `{argument}` must be a "
        f"callable, a class, None or a name among {sorted(set(_NAMED))} (got {initializer!r})."
    )


def initializer_config(initializer: Any) -> Any:
    """A JSON-ready config where the initializer is one of TensorFlow's, itself otherwise."""
    if isinstance(initializer, (str, Mapping)) or not hasattr(initializer, "get_config"):
        return initializer
    config = initializer.get_config()
    return {"class_name": type(initializer).__name__, "config": config}


def _by_name(argument: str, name: str, config: Mapping[str, Any]) -> Any:
    key = name.replace("_", "").lower()
    if key not in _NAMED:
        raise ValueError(
            f"Unknown initializer: {name}: `{argument}` must be a callable, a class, None or a "
            f"name among {sorted(set(_NAMED))} (got {name!r})."
        )
    attribute, defaults = _NAMED[key]
    return getattr(tf.initializers, attribute)(**{**defaults, **config})
