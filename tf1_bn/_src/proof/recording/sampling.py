# SPDX-License-Identifier: Apache-2.0
"""Keeps some channels of an array that is too large: each channel's arithmetic stands alone.

Rows are never left out, since every one of them goes into a channel's moments. NumPy only.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np


class Sample(NamedTuple):
    """Which channels are kept.

    axis: of the input, not negative. kept: their indices, ascending. of: how many there are.
    """

    axis: int
    kept: tuple[int, ...]
    of: int

    def take(self, array: Any, rank: int) -> Any:
        """Returns the kept channels of an input, an output or a variable; other arrays stay whole.

        `rank` is the input's.
        """
        array = np.asarray(array)
        axis = self._axis_of(array.shape, rank)
        return array if axis is None else np.take(array, self.kept, axis=axis)

    def taken(self, shape: Sequence[Any], rank: int) -> list[Any]:
        """Returns the shape of what `take` gives for an array of this shape; None is unknown.

        >>> Sample(axis=1, kept=(0, 2), of=5).taken([None, 5], rank=2)
        [None, 2]
        """
        axis = self._axis_of(shape, rank)
        return [len(self.kept) if at == axis else size for at, size in enumerate(shape)]

    def _axis_of(self, shape: Sequence[Any], rank: int) -> int | None:
        # A variable is [C], or has the input's rank, or one axis more with ghost batches.
        axis = {1: 0, rank: self.axis, rank + 1: self.axis + 1}.get(len(shape), self.axis)
        is_whole = rank == 1 or len(shape) <= axis or shape[axis] not in (None, self.of)
        return None if is_whole else axis


def choose(
    shape: Sequence[int], itemsize: int, channel_axes: Sequence[int], most_bytes: int
) -> Sample | None:
    """Returns evenly spread channels that fit into `most_bytes`, at least one; None for all.

    Args:
      shape: of the input.
      itemsize: bytes of one of its values.
      channel_axes: of the input, not negative; channels of the longest are left out.
      most_bytes: that the input may take.

    >>> choose([10, 8], 4, [1], most_bytes=160)
    Sample(axis=1, kept=(0, 2, 4, 7), of=8)
    """
    size = int(np.prod(shape, dtype="int64")) * itemsize
    if size <= most_bytes or not channel_axes:
        return None
    axis = max(channel_axes, key=lambda a: shape[a])
    count = max(1, int(shape[axis] * most_bytes // size))
    if count >= shape[axis]:
        return None
    kept = sorted({int(i) for i in np.linspace(0, shape[axis] - 1, count)})
    return Sample(axis, tuple(kept), int(shape[axis]))
