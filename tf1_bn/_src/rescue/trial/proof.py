# SPDX-License-Identifier: Apache-2.0
"""What must hold of a model before it gets its name; what does not is refused in words."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ...discovery.layers import find
from ...runtime.tensorflow_v1 import tf

# Of the greatest output, or of 1 if that is more. Sums in another order stay below.
_ALLOWED, _ALLOWED_HALF = 1e-4, 2e-2


def no_batch_statistic(graph_def: Any) -> None:
    """Raises ValueError if TensorFlow does not take the graph, or a layer asks for its batch."""
    with tf.Graph().as_default() as graph:
        try:
            tf.import_graph_def(graph_def, name="")
        except ValueError as error:
            raise ValueError(f"TensorFlow does not take the new graph: {error}") from None
        found = find(graph)
    left = [call.output for layer in found.layers for call in layer.calls if _by_batch(call)]
    if left:
        raise ValueError(f"a batch statistic is left: {', '.join(left)}.")


def _by_batch(call: Any) -> bool:
    return call.phase not in ("inference", "folded")


def rows_apart(results: Sequence[Sequence[Any]], names: Sequence[str], rows: int) -> float | None:
    """The greatest difference of the first row beside other rows, and alone.

    Args:
      results: the outputs of batches that have only the first row in common.
      names: of the outputs.
      rows: how many rows the first batch has.

    Returns:
      None if no output has an axis of rows.

    Raises:
      ValueError: a row's output depends on the other rows.
    """
    greatest = None
    for place, name in enumerate(names):
        first = np.asarray(results[0][place])
        if not first.ndim or not len(first) or len(first) % rows:
            continue
        each = len(first) // rows
        for other in results[1:]:
            shape = np.shape(other[place])
            if len(shape) != first.ndim:
                raise ValueError(
                    f"{name} has the shape {first.shape} for {rows} rows and {shape} for a row "
                    "alone, as of a tf.squeeze without an axis."
                )
            found = difference(first[:each], np.asarray(other[place])[:each])
            # Not "more than": of NaN that would be false.
            if not found <= allowed([first]):
                raise ValueError(
                    f"{name}: the output of a row depends on the rows beside it, by {found:.1e}."
                )
            greatest = max(greatest or 0.0, found)
    return greatest


def has_rows(array: Any, rows: int) -> bool:
    return np.ndim(array) > 0 and len(array) > 0 and len(array) % rows == 0


def near(found: Sequence[Any], wanted: Sequence[Any], names: Sequence[str], what: str) -> float:
    """The greatest difference between two models' outputs.

    Raises:
      ValueError: it is more than rounding; `what` says to what.
    """
    greatest = 0.0
    for name, one, other in zip(names, found, wanted):
        if np.shape(one) != np.shape(other):
            raise ValueError(f"{name} has the shape {np.shape(one)}, and {np.shape(other)} {what}.")
        here = difference(one, other)
        if not here <= allowed([other, one]):
            raise ValueError(f"{name} differs by {here:.1e} from what it is {what}.")
        greatest = max(greatest, here)
    return greatest


def difference(one: Any, other: Any) -> float:
    one, other = (np.asarray(each) for each in (one, other))
    if one.dtype.kind in "OSU" or one.size == 0:
        return 0.0 if np.array_equal(one, other) else float("inf")
    wide = np.complex128 if "c" in one.dtype.kind + other.dtype.kind else np.float64
    return float(np.max(np.abs(one.astype(wide) - other.astype(wide))))


def largest(arrays: Sequence[Any]) -> float:
    """The largest absolute value of all."""
    numbers = [np.abs(each) for each in map(np.asarray, arrays) if each.dtype.kind in "fiubc"]
    sizes = [np.max(each.astype(np.float64), initial=0) for each in numbers]
    return float(max(sizes, default=0))


def allowed(arrays: Sequence[Any]) -> float:
    """How far apart two results may be that are equal but for rounding.

    The first one tells the size, and the one with the fewest digits how it may be rounded; of whole
    numbers it is 1 at most.
    """
    first = np.asarray(arrays[0])
    if first.dtype.kind not in "fiubc":
        return 0.0
    is_half = min(np.asarray(each).dtype.itemsize for each in arrays) == 2
    share = (_ALLOWED_HALF if is_half else _ALLOWED) * max(1.0, largest([first]))
    return share if first.dtype.kind in "fc" else min(share, 1.0)


def is_alike(outputs: Sequence[Any], rows: int) -> bool:
    """Whether all rows have the same outputs, which says little about what they are made of."""
    parts = [np.reshape(each, [rows, -1]) for each in outputs if has_rows(each, rows)]
    return bool(parts) and all(bool((part == part[:1]).all()) for part in parts)
