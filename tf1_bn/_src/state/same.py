# SPDX-License-Identifier: Apache-2.0
"""Whether two arguments mean the same: equal settings, functions of equal code, equal arrays."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np

from ..runtime.tensorflow_v1 import tf

# What a closure refers to may refer back to it.
_DEPTH = 8


def same(one: Any, other: Any, depth: int = _DEPTH) -> bool:
    """True if both do surely the same; two tensors do only if they are one.

    >>> same([1, {"a": 2.0}], [1, {"a": 2.0}]), same(lambda: 1, lambda: 2)
    (True, False)
    """
    if one is other:
        return True
    if type(one) is not type(other) or not depth or tf.is_tensor(one):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    parts = _parts(one)
    if parts is None:
        return bool(one == other)
    return _same_parts(parts, _parts(other), depth - 1)


def _parts(value: Any) -> Any:
    """What a value is told apart by, a list or dict; None if it can be compared itself."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, dict):
        return value
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, *cells]
    if isinstance(value, types.CodeType):
        # The line number is left out on purpose.
        return [value.co_code, value.co_consts, value.co_names, value.co_freevars]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if hasattr(value, "get_config"):
        return dict(value.get_config())
    return None


def _same_parts(one: Any, other: Any, depth: int) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k], depth) for k in one)
    return len(one) == len(other) and all(same(a, b, depth) for a, b in zip(one, other))
