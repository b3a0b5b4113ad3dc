# SPDX-License-Identifier: Apache-2.0
"""How an input of any rank can be seen as what the fused op takes, no TensorFlow."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence

from .costs import ANY_MACHINE, NEVER, Costs, Machine
from .geometry import HALF_DTYPES, Geometry


class Fold(NamedTuple):
    """The input as `[ghost size, ghosts, between, channels, after]`, as rows for the fused op.

    Without ghost batches the first three are one. `between` and `after` count the values of one
    example on either side of the channels.

    Or the input as `[rows, columns]`, where several columns belong to each channel.

    Attributes:
      channels: how many channels there are.
      between: how many values lie between the ghost axis and the channels; 1 without ghosts.
      after: how many values lie after the channels.
      ghosts: whether there are ghost batches.
      slices: how many ghost batches are cut out to be normalized one by one; 0 for all at once.
      transposed: whether the channels have to be copied to the end.
      columns: the axes that make up the columns, as sizes; empty without columns.
      spread: what the channels are as a tensor that broadcasts to `columns`.
      slow: whether the op has no quick kernel for it.
      reason: what is done, for people.
    """

    channels: int
    between: int = 1
    after: int = 1
    ghosts: bool = False
    slices: int = 0
    transposed: bool = False
    columns: tuple[int, ...] = ()
    spread: tuple[int, ...] = ()
    slow: bool = False
    reason: str = ""

    @property
    def width(self) -> int:
        """The channels or columns of a row, without ghost batches."""
        return _product(self.columns) if self.columns else self.channels


def _channels(geometry: Geometry) -> tuple[int, int, bool, int | None]:
    """Where the channels of an input lie.

    Returns:
      How many there are, of all channel axes together; the first axis of channels that is wider
      than 1; whether other values lie between two channel axes; how many values lie behind the
      last channel axis, None if unknown.
    """
    shape, channel_axes = geometry.input_shape, geometry.channel_axes
    # An axis of size 1 has no place.
    wide = [axis for axis in sorted(channel_axes) if shape[axis] != 1]
    first = wide[0] if wide else min(channel_axes)
    last = wide[-1] if wide else first
    number = _product(shape[axis] or 0 for axis in wide)
    apart = any(shape[axis] != 1 for axis in range(first, last) if axis not in channel_axes)
    return number, first, apart, _known_product(shape[last + 1 :])


def row_fold(geometry: Geometry, ghost_size: int | None, machine: Machine) -> Fold | None:
    """An input as rows of channels, which the op can train on; None if that cannot be had.

    Args:
      geometry: of the input.
      ghost_size: examples in a ghost batch, None without ghost batches.
      machine: whose op trains on them.

    Returns:
      A fold without columns, `slow` where the op has no quick kernel for it.

    >>> from .geometry import geometry_of
    >>> from .spec import BatchNormSpec
    >>> images = geometry_of(BatchNormSpec(axis=1), (8, 3, 4, 5), "float32")
    >>> row_fold(images, None, Machine()).reason
    'the channels are moved last'
    """
    number, first, apart, after = _channels(geometry)
    if not number or apart or not after:
        return None
    fold = Fold(number, after=after)
    if ghost_size is not None:
        between = _known_product(geometry.input_shape[1:first])
        if not between:
            return None
        ghosts = fold._replace(between=between, ghosts=True)
        return _ghost_fold(ghosts, geometry, ghost_size, machine)
    slow = bool(number % vector_of(machine, geometry.dtype))
    if after == 1:
        return fold._replace(slow=slow, reason="the channels are last")
    # Behind a first axis of channels lie all their values, which sum as they are.
    slow = slow or first == 0
    return fold._replace(transposed=True, slow=slow, reason="the channels are moved last")


def inference_fold(geometry: Geometry, machine: Machine) -> Fold | None:
    """The cheapest fold for the op in inference, None if there is none.

    With given moments the op serves columns as well, though half precision would be rounded twice.
    """
    rows = row_fold(geometry, None, machine)
    if rows is not None and not rows.slow and not rows.transposed:
        return rows
    columns = None if geometry.dtype in HALF_DTYPES else _op_columns(geometry, machine)
    if rows is None or (columns is not None and not columns.slow):
        return columns
    return rows


def _op_columns(geometry: Geometry, machine: Machine) -> Fold | None:
    costs = machine.costs
    limits = costs._replace(
        column_rows=costs.column_rows if machine.quick else NEVER,
        column_width=costs.op_column_width,
    )
    return column_fold(geometry, limits, vector_of(machine, geometry.dtype))


def _ghost_fold(fold: Fold, geometry: Geometry, ghost_size: int, machine: Machine) -> Fold:
    batch, vector, costs = (
        geometry.input_shape[0],
        vector_of(machine, geometry.dtype),
        machine.costs,
    )
    count = None if batch is None else batch // ghost_size
    # Cut out, a ghost has only its own channels; side by side, the ghosts count as more channels.
    slow = bool(fold.channels % vector)
    slow_together = bool((fold.channels * (count or 1)) % vector)
    if fold.between == fold.after == 1:
        return fold._replace(slow=slow_together, reason="ghost batches are further channels")
    one_ghost = ghost_size * fold.channels * fold.between * fold.after
    few = count is not None and count <= costs.ghost_slices
    if fold.after == 1 and few and one_ghost >= costs.ghost_slice and not slow:
        reason = f"each of {count} ghost batches by itself"
        return fold._replace(slices=count or 0, reason=reason)
    reason = "ghost batches are moved beside the channels"
    return fold._replace(transposed=True, slow=slow_together, reason=reason)


def column_fold(geometry: Geometry, costs: Costs, vector: int = 1) -> Fold | None:
    """The axes from the first channel axis on as columns, and some of the rows before them.

    Args:
      geometry: of the input.
      costs: from how many rows on columns pay, and how many columns a row has at least.
      vector: columns in a vector of what takes them.

    Returns:
      A fold with columns, `slow` where the rows are few or their columns fill no vectors; None if
      the sizes behind the first channel axis are unknown.

    >>> from .geometry import geometry_of
    >>> from .spec import BatchNormSpec
    >>> images = geometry_of(BatchNormSpec(axis=1), (64, 3, 10, 10), "float32")
    >>> column_fold(images, Costs()).reason
    '2400 columns of 3 channels'
    """
    channels, first, *_ = _channels(geometry)
    shape = geometry.input_shape
    before, behind = shape[:first], shape[first:]
    size = _known_product(behind)
    # A single channel has nothing to broadcast.
    if not size or channels <= 1:
        return None
    known = _product(each for each in before if each is not None)
    rows = known * _product(costs.assumed_batch for each in before if each is None)

    def demerits(count: int) -> tuple[bool, bool, int, int]:
        width = count * size
        slow = rows < count * costs.column_rows or width % vector > 0
        return slow, width % costs.row_vector > 0, max(0, costs.column_width - width), count

    most = max(1, costs.column_width // channels) * costs.row_vector
    count = min((n for n in range(1, most + 1) if known % n == 0), key=demerits, default=0)
    if not count:
        return None
    channel_axes = [axis - first for axis in geometry.channel_axes]
    spread = tuple(each if axis in channel_axes else 1 for axis, each in enumerate(behind))
    together = (count,) if count > 1 else ()
    return Fold(
        channels,
        columns=(*together, *(each or 0 for each in behind)),
        spread=(*(1 for _ in together), *(each or 0 for each in spread)),
        slow=demerits(count)[0],
        reason=f"{count * size} columns of {channels} channels",
    )


def rows_shape(
    shape: Sequence[int | None], width: int, costs: Costs = ANY_MACHINE.costs
) -> list[int]:
    """The shape an input has for the fused op, `[examples, values, 1, width]`, with one -1 at most.

    The op shares its work out over both of the first axes, and is up to a third slower if one of
    them is 1.

    >>> rows_shape((4096, 512), 512), rows_shape((None, 20, 50), 50)
    ([256, 16, 1, 512], [-1, 20, 1, 50])
    """
    known = _product(size for size in shape if size is not None)
    if None in shape:
        values = known // width if known % width == 0 else 1
        return [-1, max(1, values), 1, width]
    rows = known // width
    examples = max(
        (n for n in range(1, min(costs.row_examples, rows // 2) + 1) if rows % n == 0), default=1
    )
    if examples < costs.few_row_examples:
        return [rows, 1, 1, width]
    return [examples, rows // examples, 1, width]


def vector_of(machine: Machine, dtype: str) -> int:
    """Of how many channels the op wants multiples for its quick kernels; 1 for any number.

    >>> vector_of(Machine(), "float32"), vector_of(Machine(vectors=True), "float32")
    (1, 4)
    """
    costs = machine.costs
    vectors = {"float32": costs.float32_vector, "bfloat16": costs.bfloat16_vector}
    return vectors.get(dtype, 1) if machine.vectors else 1


def _known_product(sizes: Sequence[int | None]) -> int | None:
    """The product of `sizes`, None if one is unknown."""
    return None if None in sizes else _product(size or 0 for size in sizes)


def _product(sizes: Iterable[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
