# SPDX-License-Identifier: Apache-2.0
"""The ways to normalize an input, and which is the quickest at its size, no TensorFlow."""

from __future__ import annotations

from typing import NamedTuple, Union

from .costs import NEVER, Costs, Machine
from .geometry import Geometry
from .row_layout import Fold, column_fold, inference_fold, vector_of


class Composed(NamedTuple):
    """Elementary ops on the input as it is, or, in training, on rows by `columns`."""

    columns: Fold | None = None


class Tf1Fused(NamedTuple):
    """The fused op on images as they are, as TF 1.15 has it.

    Attributes:
      data_format: what the op is told, "NHWC" or "NCHW".
      transposed: whether an NCHW input is turned to NHWC for it and back.
    """

    data_format: str
    transposed: bool = False


class Rows(NamedTuple):
    """The fused op on an input of any rank, seen by `fold` as rows of channels or of columns."""

    fold: Fold


Way = Union[Composed, Tf1Fused, Rows]


def columns_of(geometry: Geometry, costs: Costs, size: int) -> Fold | None:
    """How elementary ops see an input of `size` values: as columns if that is quicker.

    Returns:
      None for as it is.
    """
    fold = column_fold(geometry, costs)
    # If a row would hold the channels only, the input already is in rows.
    if fold is None or fold.slow or fold.width == fold.channels:
        return None
    side_by_side = fold.columns[1:] == fold.spread[1:]
    least = costs.side_by_side_elements if side_by_side else costs.column_elements
    return fold if size >= least else None


def fills_vectors(geometry: Geometry, machine: Machine) -> bool:
    """Whether the op has a quick kernel for so many channels."""
    return geometry.param_shape[0] % vector_of(machine, geometry.dtype) == 0


def why_op_dies(fold: Fold | None, geometry: Geometry, machine: Machine, ghost: int | None) -> str:
    """What kills the fused op here, in a few words; empty where it is sure to live.

    Args:
      fold: the input as the op would see it, if it can.
      geometry: of the input.
      machine: this one.
      ghost: examples in a ghost batch, None without ghost batches.
    """
    no_ghosts = fold is not None and fold.ghosts and not fold.slices and not geometry.input_shape[0]
    if no_ghosts and not machine.no_channels:
        return "of unknown size, and the fused op dies here on no ghosts"
    sizes = [ghost or geometry.input_shape[0], *geometry.input_shape[1:]]
    one_row = all(sizes[axis] in (None, 0, 1) for axis in geometry.reduction_axes)
    if one_row and geometry.dtype == "float16" and not machine.float16_row:
        return "maybe one row of float16, of which the fused op dies here"
    return ""


def in_training(
    geometry: Geometry,
    machine: Machine,
    fold: Fold | None,
    columns: Fold | None,
    size: int,
    forced: bool,
) -> tuple[Way, str]:
    """What normalizes a batch of `size` values, and why."""
    composed = Composed(columns)
    seen_as = "" if columns is None else f"; {columns.reason}"
    if fold is None:
        axes = list(geometry.channel_axes)
        why = f"axis {axes} of rank {geometry.rank} does not fold to rows of channels"
        return composed, f"{why}{seen_as}"
    if forced:
        return Rows(fold), f"fused=True; {fold.reason}"
    least = _smallest(geometry, machine, fold)
    if fold.slow or (fold.transposed and columns is not None):
        return composed, f"the fused op would be slower{seen_as}"
    if least == NEVER:
        return composed, f"the fused op is slower for it here{seen_as}"
    counted = geometry.counted(size)
    if size < least:
        return composed, f"{counted}, fewer than {least:.0f}{seen_as}"
    return Rows(fold), f"{counted}, at least {least:.0f}; {fold.reason}"


def in_inference(geometry: Geometry, machine: Machine, size: int, forced: bool) -> Way:
    """What normalizes an input of `size` values with given moments."""
    fold, costs = inference_fold(geometry, machine), machine.costs
    if fold is None or fold.transposed:
        return Composed()
    if forced:
        return Rows(fold)
    quick = machine.quick or geometry.dtype == "bfloat16"
    rows = costs.column_rows_in_inference if fold.columns else costs.rows_in_inference
    enough = size >= costs.fused_inference and size >= rows * fold.width
    return Rows(fold) if quick and enough and not fold.slow else Composed()


def _smallest(geometry: Geometry, machine: Machine, fold: Fold) -> float:
    """From how many elements on the fused op is quicker in training."""
    if fold.ghosts and (fold.slices or fold.transposed):
        return machine.costs.ghost_training
    bfloat16 = geometry.dtype == "bfloat16" and not fold.transposed
    return machine.costs.fused_training if machine.quick or bfloat16 else NEVER
