# SPDX-License-Identifier: Apache-2.0
"""How an input of any rank can be seen as what the fused op takes, no TensorFlow."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence

from .geometry import Geometry


class Fold(NamedTuple):
    """The input as `[ghost size, ghosts, between, channels, after]`, as rows for the fused op.

    Without ghost batches the first three are one. `between` and `after` count the values of one
    example on either side of the channels.

    Attributes:
      channels: how many channels there are.
      between: how many values lie between the ghost axis and the channels; 1 without ghosts.
      after: how many values lie after the channels.
      ghosts: whether there are ghost batches.
      slices: how many ghost batches are cut out to be normalized one by one; 0 for all at once.
      transposed: whether the channels have to be copied to the end.
      reason: what is done, for people.
    """

    channels: int
    between: int = 1
    after: int = 1
    ghosts: bool = False
    slices: int = 0
    transposed: bool = False
    reason: str = ""


def fold_of(
    geometry: Geometry, ghost_size: int | None, max_slices: int, min_slice: int
) -> Fold | None:
    """The cheapest fold of an input, None if it has none.

    Args:
      geometry: of the input.
      ghost_size: examples in a ghost batch, None without ghost batches.
      max_slices: up to how many ghost batches are normalized one by one.
      min_slice: from how many elements of a ghost batch on that is done.
    """
    shape, channel_axes = geometry.input_shape, geometry.channel_axes
    # An axis of size 1 has no place.
    wide = [axis for axis in sorted(channel_axes) if shape[axis] != 1]
    first = wide[0] if wide else min(channel_axes)
    last = wide[-1] if wide else first
    block = range(first, last + 1)
    if any(shape[axis] != 1 for axis in block if axis not in channel_axes):
        return None
    channels = _product(shape[axis] or 0 for axis in wide)
    after = _known_product(shape[last + 1 :])
    if not channels or not after:
        return None
    if ghost_size is None:
        if after == 1:
            return Fold(channels, reason="the channels are last")
        return Fold(channels, after=after, transposed=True, reason="the channels are moved last")
    between = _known_product(shape[1:first])
    if not between:
        return None
    if between == after == 1:
        return Fold(channels, ghosts=True, reason="ghost batches are further channels")
    one_ghost = ghost_size * channels * between * after
    count = None if shape[0] is None else shape[0] // ghost_size
    if after == 1 and count is not None and count <= max_slices and one_ghost >= min_slice:
        reason = f"each of {count} ghost batches by itself"
        return Fold(channels, between, after, True, count, reason=reason)
    reason = "ghost batches are moved beside the channels"
    return Fold(channels, between, after, True, transposed=True, reason=reason)


def _known_product(sizes: Sequence[int | None]) -> int | None:
    """The product of `sizes`, None if one is unknown."""
    return None if None in sizes else _product(size or 0 for size in sizes)


def _product(sizes: Iterable[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
