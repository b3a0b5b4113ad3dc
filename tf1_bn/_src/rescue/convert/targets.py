# SPDX-License-Identifier: Apache-2.0
"""What each target calls things and how it lays them out: rules of a pattern and a function."""

from __future__ import annotations

import re
from typing import Any, Callable, Mapping, NamedTuple

import numpy as np

from .formats.held import CONTRIB, KERAS, ROLES, TENSORFLOW, TF_LAYERS, TORCH, joined


class Rule(NamedTuple):
    """What becomes of an array that is not batch normalization's.

    Attributes:
      pattern: of the last word of its name.
      ranks: that it may have.
      word: what a user calls such an array.
      function: from the array in TensorFlow's layout to the target's.
      leaf: the last word of its new name; None for the old one.
      effect: for people.
    """

    pattern: str
    ranks: tuple[int, ...]
    word: str
    function: Callable[[Any], Any]
    leaf: str | None
    effect: str


class Target(NamedTuple):
    """A library's words and layouts.

    Attributes:
      scope: the name of a batch normalization's layer, of that in the source.
      place: a name of a scope and a last word.
      roles: the last words of what a batch normalization holds; what is missing is left out.
      is_squeezed: whether its parameters have one axis, `[channels]`.
      others: the first rule that fits is taken.
      keeps: the kinds of parts that stay as they are.
    """

    scope: Callable[[str], str]
    place: Callable[[str, str], str]
    roles: Mapping[str, str]
    is_squeezed: bool
    others: tuple[Rule, ...]
    keeps: tuple[str, ...]


_RANKS = tuple(range(33))
_KERNEL, _BIAS, _DEPTHWISE = "kernel|weights", "bias|biases", "depthwise_(kernel|weights)"
_PLAIN = {role: role for role in ROLES}


def target_of(name: str, kind: str, flat: bool) -> Target:
    """The words of a target.

    Args:
      name: one of `words.NAMES`.
      kind: of the source: between TensorFlow's own, what is no batch normalization stays.
      flat: of Keras: by names of layers, which have no slash, and not by paths of variables.
    """
    if name == TORCH:
        return _torch()
    if name == KERAS:
        place = _in_layer if flat else joined
        first = (_KERAS_2,) if flat else ()
        return Target(_layers_scope, place, _PLAIN, True, (*first, *_KERAS), ())
    scope = _contrib_scope if name == CONTRIB else _layers_scope
    same = kind == TENSORFLOW
    others = _SAME if same or name == TF_LAYERS else _CONTRIB
    keeps = ("slot", "counter") if same else ()
    shadow = ("shadow",) if same and name == CONTRIB else ()
    return Target(scope, joined, _PLAIN, name == CONTRIB, others, keeps + shadow)


def _contrib_scope(scope: str) -> str:
    return re.sub(r"(^|/)batch_normalization(_\d+)?$", r"\1BatchNorm\2", scope)


def _layers_scope(scope: str) -> str:
    return re.sub(r"(^|/)BatchNorm(_\d+)?$", r"\1batch_normalization\2", scope)


def _in_layer(scope: str, leaf: str) -> str:
    return joined(scope.replace("/", "_"), leaf)


def _same(array: Any) -> Any:
    return array


def _outputs_first(kernel: Any) -> Any:
    """Of a convolution and of a transposed one: [h, w, in, out], and [h, w, out, in]."""
    rank = np.ndim(kernel)
    return np.transpose(kernel, [rank - 1, rank - 2, *range(rank - 2)])


def _groups_first(kernel: Any) -> Any:
    """Of [h, w, channels, multiplier]: each channel's outputs stand together."""
    moved = np.transpose(kernel, [2, 3, 0, 1])
    return moved.reshape(-1, 1, *moved.shape[2:])


_SAME = (Rule(".*", _RANKS, "", _same, None, "unchanged"),)
_CONTRIB = (
    Rule(_KERNEL, _RANKS, "", _same, "weights", "kernel"),
    Rule(_DEPTHWISE, _RANKS, "", _same, "depthwise_weights", "kernel"),
    Rule(_BIAS, _RANKS, "", _same, "biases", "bias"),
    *_SAME,
)
_KERAS = (
    Rule(_KERNEL, (2,), "dense", _same, "kernel", "dense"),
    Rule(_KERNEL, (3, 4, 5), "conv", _same, "kernel", "convolution"),
    Rule(_DEPTHWISE, (3, 4), "depthwise", _same, "kernel", "depthwise"),
    Rule(_BIAS, (1,), "", _same, "bias", "bias"),
)
# In the older file the name tells what the kernel is; Keras 3 goes by the order.
_KERAS_2 = Rule(_DEPTHWISE, (3, 4), "depthwise", _same, "depthwise_kernel", "depthwise")
_TORCH = (
    Rule(_KERNEL, (2,), "dense", np.transpose, "weight", "dense, transposed"),
    Rule(_KERNEL, (3, 4, 5), "conv", _outputs_first, "weight", "convolution HWIO -> OIHW"),
    Rule(_DEPTHWISE, (4,), "depthwise", _groups_first, "weight", "depthwise HWIO -> OIHW"),
    Rule(_BIAS, (1,), "", _same, "bias", "bias"),
)


def _torch() -> Target:
    roles = ("weight", "bias", "running_mean", "running_var")

    def place(scope: str, leaf: str) -> str:
        return joined(scope, leaf).replace("/", ".")

    return Target(lambda scope: scope, place, dict(zip(ROLES, roles)), True, _TORCH, ())
