# SPDX-License-Identifier: Apache-2.0
"""The batches that a model is tested with: random ones, or the caller's, with other companions."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

import numpy as np

from ...runtime.tensorflow_v1 import tf

_ROWS, _SIZE = 4, 32


class Batches(NamedTuple):
    """Arrays by input key, of several batches whose first row is the same.

    Attributes:
      all: the batches; the first is that which is compared and timed.
      rows: how many rows they have; None where the inputs have no axis of rows in common.
      free: whether the model takes other numbers of rows, so that the last batch is a row alone.
    """

    all: list[dict[str, Any]]
    rows: int | None
    free: bool


def batches(inputs: Mapping[str, Any], given: Any, sizes_stay: bool = False) -> Batches:
    """Makes them.

    Args:
      inputs: tensors by their keys.
      given: the caller's batch: arrays by keys or, for a single input, one array; None for none.
      sizes_stay: whether the model will take the sizes of the batch alone, but for its rows.

    Raises:
      ValueError: it does not fit the inputs, or no batch can be made up for them.
    """
    random = np.random.RandomState(20170210)
    if given is None:
        first = {key: _made_up(key, each, random, sizes_stay) for key, each in inputs.items()}
    else:
        first = _fitting(inputs, given)
    counts = {len(array) if np.ndim(array) else None for array in first.values()}
    rows = counts.pop() if len(counts) == 1 else None
    free = rows is not None and all(
        each.shape.rank is None or each.shape.as_list()[0] is None for each in inputs.values()
    )
    result = [first]
    if rows is not None and rows > 1:
        result.append({key: _beside_others(array, random) for key, array in first.items()})
    if free:
        result.append({key: array[:1] for key, array in first.items()})
    return Batches(result, rows, free)


def _made_up(key: str, tensor: Any, random: Any, sizes_stay: bool) -> Any:
    dtype = tensor.dtype.base_dtype
    if tensor.shape.rank is None:
        raise ValueError(
            f"input {key} has no known number of axes: set it by `phase` (--phase) if it is one "
            "number, or give a `batch` to test with."
        )
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise ValueError(f"input {key} is {dtype.name}: give a `batch` to test with.")
    sizes = tensor.shape.as_list()
    if sizes_stay and None in sizes[1:]:
        raise ValueError(
            f"input {key} has the shape {tensor.shape}: give a `batch` of the size to convert for."
        )
    shape = [size or (_ROWS if axis == 0 else _SIZE) for axis, size in enumerate(sizes)]
    if dtype.is_floating:
        return np.asarray(random.standard_normal(shape), dtype.as_numpy_dtype)
    most = 256 if dtype == tf.uint8 else 2
    return np.asarray(random.randint(0, most, shape), dtype.as_numpy_dtype)


def _fitting(inputs: Mapping[str, Any], given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        given = dict.fromkeys(list(inputs)[:1], given)
    if set(given) != set(inputs):
        raise ValueError(
            f"`batch` must have an array for each input, {', '.join(inputs)} "
            f"(got {', '.join(map(str, given)) or 'none'})."
        )
    fitting = {}
    for key, tensor in inputs.items():
        array = _as_dtype(key, given[key], tensor.dtype.base_dtype)
        if not tensor.shape.is_compatible_with(array.shape):
            raise ValueError(
                f"`batch`: {key} has the shape {tensor.shape} (got {tuple(array.shape)})."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"`batch`: {key} holds NaN or infinity.")
        if array.ndim and not len(array):
            raise ValueError(f"`batch`: {key} has no rows.")
        fitting[key] = array
    return fitting


def _as_dtype(key: str, given: Any, dtype: Any) -> Any:
    # An array of Python's strings cannot go to the new process.
    kind = np.bytes_ if dtype == tf.string else dtype.as_numpy_dtype
    try:
        return np.asarray(given, kind)
    except (TypeError, ValueError, UnicodeError):
        raise ValueError(f"`batch`: {key} must be an array of {dtype.name}.") from None


def _beside_others(array: Any, random: Any) -> Any:
    """The first row, with rows of quite other numbers beside it."""
    others, count = array[1:], array[1:].shape
    if array.dtype.kind == "f":
        others = 3 * others + np.asarray(2 * random.standard_normal(count) + 1, array.dtype)
    elif array.dtype.kind in "iu":
        others = random.randint(int(array.min()), int(array.max()) + 1, count)
    else:
        others = others[::-1]
    return np.concatenate([array[:1], np.asarray(others, array.dtype)])
