# SPDX-License-Identifier: Apache-2.0
"""Which kernel normalizes, and why: the one place that decides, no TensorFlow."""

from __future__ import annotations

import enum
from typing import NamedTuple, Union

from .contract import Contract, contract_of
from .costs import ANY_MACHINE, NEVER, Costs, Machine
from .geometry import Geometry
from .row_layout import Fold, column_fold, inference_fold, row_fold, vector_of
from .spec import BatchNormSpec


class Kernel(enum.Enum):
    """FUSED is FusedBatchNormV3, COMPOSED is made of elementary ops."""

    FUSED = "fused"
    COMPOSED = "composed"


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


class KernelChoice(NamedTuple):
    """What computes the two phases, and the sentence that says why.

    Attributes:
      in_training: how a batch is normalized with its own moments.
      in_inference: how inputs are normalized with given moments.
      reason: why.
      contract: whose numbers come of it, whatever computes them.
    """

    in_training: Way
    in_inference: Way
    reason: str
    contract: Contract

    @property
    def fused(self) -> bool:
        """Whether the numbers are those of TF 1.15's fused op."""
        return self.contract.fused

    @property
    def kernel(self) -> Kernel:
        """What runs in training."""
        return _kernel_of(self.in_training)

    @property
    def inference(self) -> Kernel:
        """What runs in inference."""
        return _kernel_of(self.in_inference)

    def __str__(self) -> str:
        phases = self.kernel.value
        if self.inference is not self.kernel:
            phases = f"{phases} in training, {self.inference.value} in inference"
        return f"{phases}: {self.reason}"

    def composed(self, why: str) -> KernelChoice:
        """The choice of elementary ops on the input as it is, by the same contract."""
        return _composed(self.contract, why)


def _kernel_of(way: Way) -> Kernel:
    return Kernel.COMPOSED if isinstance(way, Composed) else Kernel.FUSED


def _composed(contract: Contract, reason: str, columns: Fold | None = None) -> KernelChoice:
    if columns is not None:
        reason = f"{reason}; {columns.reason}"
    return KernelChoice(Composed(columns), Composed(), reason, contract)


MERGED = _composed(Contract(fused=False), "the statistics are merged across replicas")


def choose_kernel(
    spec: BatchNormSpec,
    geometry: Geometry,
    machine: Machine = ANY_MACHINE,
    moments_overridden: bool = False,
) -> KernelChoice:
    """Picks the quickest way to the numbers of TF 1.15.

    Where TF 1.15 took its fused op, so do we, unless the machine is slow at it. Elsewhere the op
    serves whatever folds to its layout and is large enough; `fused=True` takes it at any size and
    `fused=False` never.

    Args:
      spec: the validated arguments.
      geometry: what they mean for the input.
      machine: what it can do.
      moments_overridden: whether a subclass computes the batch moments itself.

    Returns:
      The choice for both phases.

    >>> from .geometry import geometry_of
    >>> spec = BatchNormSpec()
    >>> print(choose_kernel(spec, geometry_of(spec, (32, 64), "float32")))
    composed: rank 2; 2048 elements, fewer than 100000
    """
    contract = contract_of(spec, geometry, moments_overridden)
    columns = None if moments_overridden else _columns(spec, geometry, machine.costs)
    if not contract.op_serves:
        return _composed(contract, contract.why_not, columns)
    if contract.fused:
        return _tf1_fused(contract, geometry, machine, columns)
    fold = row_fold(geometry, spec.virtual_batch_size, machine)
    if fold is not None and _may_have_no_channels(fold, geometry) and not machine.no_channels:
        reason = f"{contract.why_not}; of unknown size, and the fused op dies here on no ghosts"
        return _composed(contract, reason)
    if _may_be_a_float16_row(spec, geometry) and not machine.float16_row:
        reason = f"{contract.why_not}; maybe one row of float16, of which the fused op dies here"
        return _composed(contract, reason, columns)
    forced = spec.fused is not None
    way, why = _in_training(geometry, machine, fold, columns, forced)
    in_inference = _in_inference(geometry, machine, forced)
    return KernelChoice(way, in_inference, f"{contract.why_not}; {why}", contract)


def _columns(spec: BatchNormSpec, geometry: Geometry, costs: Costs) -> Fold | None:
    """How elementary ops see the input: as columns if that is quicker, None for as it is."""
    if spec.virtual_batch_size is not None:
        return None
    fold = column_fold(geometry, costs)
    # If a row would hold the channels only, the input already is in rows.
    if fold is None or fold.slow or fold.width == fold.channels:
        return None
    side_by_side = fold.columns[1:] == fold.spread[1:]
    least = costs.side_by_side_elements if side_by_side else costs.column_elements
    return fold if _elements(geometry, costs) >= least else None


def _may_have_no_channels(fold: Fold, geometry: Geometry) -> bool:
    return fold.ghosts and not fold.slices and not geometry.input_shape[0]


def _may_be_a_float16_row(spec: BatchNormSpec, geometry: Geometry) -> bool:
    if geometry.dtype != "float16":
        return False
    ghost = [spec.virtual_batch_size or geometry.input_shape[0]]
    sizes = [*ghost, *geometry.input_shape[1:]]
    return all(sizes[axis] in (None, 0, 1) for axis in geometry.reduction_axes)


def _tf1_fused(
    contract: Contract, geometry: Geometry, machine: Machine, columns: Fold | None
) -> KernelChoice:
    """TF 1.15's own use of the op, or what is quicker and gives its numbers."""
    if geometry.channel_axes == (3,):
        way, reason = Tf1Fused("NHWC"), "rank 4 with the channel axis last"
    elif machine.nchw_runs:
        way, reason = Tf1Fused("NCHW"), "rank 4 with channel axis 1"
    else:
        way = Tf1Fused("NHWC", transposed=True)
        reason = "rank 4 with channel axis 1, transposed as the fused op runs NHWC alone here"
    vector, size = vector_of(machine, geometry.dtype), _elements(geometry, machine.costs)
    channels = geometry.param_shape[0]
    if channels % vector == 0 or size < machine.costs.odd_images:
        return KernelChoice(way, way, reason, contract)
    reason = f"{reason}, but the fused op is slow for {channels} channels here"
    if columns is not None:
        reason = f"{reason}; {columns.reason}"
    in_inference = _in_inference(geometry, machine, forced=False)
    return KernelChoice(Composed(columns), in_inference, reason, contract)


def _in_training(
    geometry: Geometry, machine: Machine, fold: Fold | None, columns: Fold | None, forced: bool
) -> tuple[Way, str]:
    """What normalizes a batch, and why."""
    composed = Composed(columns)
    seen_as = "" if columns is None else f"; {columns.reason}"
    if fold is None:
        axes = list(geometry.channel_axes)
        why = f"axis {axes} of rank {geometry.rank} does not fold to rows of channels"
        return composed, f"{why}{seen_as}"
    if forced:
        return Rows(fold), f"fused=True; {fold.reason}"
    size = _elements(geometry, machine.costs)
    known = "elements" if None not in geometry.input_shape else "elements assumed"
    least = _smallest(geometry, machine, fold)
    if fold.slow or (fold.transposed and columns is not None):
        return composed, f"the fused op would be slower{seen_as}"
    if least == NEVER:
        return composed, f"the fused op is slower for it here{seen_as}"
    if size < least:
        return composed, f"{size} {known}, fewer than {least:.0f}{seen_as}"
    return Rows(fold), f"{size} {known}, at least {least:.0f}; {fold.reason}"


def _in_inference(geometry: Geometry, machine: Machine, forced: bool) -> Way:
    """What normalizes with given moments."""
    fold, costs = inference_fold(geometry, machine), machine.costs
    if fold is None or fold.transposed:
        return Composed()
    if forced:
        return Rows(fold)
    quick = machine.quick or geometry.dtype == "bfloat16"
    rows = costs.column_rows_in_inference if fold.columns else costs.rows_in_inference
    size = _elements(geometry, costs)
    enough = size >= costs.fused_inference and size >= rows * fold.width
    return Rows(fold) if quick and enough and not fold.slow else Composed()


def _smallest(geometry: Geometry, machine: Machine, fold: Fold) -> float:
    """From how many elements on the fused op is quicker in training."""
    if fold.ghosts and (fold.slices or fold.transposed):
        return machine.costs.ghost_training
    bfloat16 = geometry.dtype == "bfloat16" and not fold.transposed
    return machine.costs.fused_training if machine.quick or bfloat16 else NEVER


def _elements(geometry: Geometry, costs: Costs) -> int:
    """How many elements the input has, as far as they are known."""
    count = 1
    for axis, size in enumerate(geometry.input_shape):
        assumed = costs.assumed_size if axis else costs.assumed_batch
        count *= assumed if size is None else size
    return count
