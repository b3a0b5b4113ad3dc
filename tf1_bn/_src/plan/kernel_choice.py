# SPDX-License-Identifier: Apache-2.0
"""Which kernel normalizes: in TF 1.15, whose numbers count, and here; no TensorFlow."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, Sequence

from .costs import ANY_MACHINE, Machine
from .geometry import Geometry
from .row_layout import Fold, row_fold
from .spec import BatchNormSpec, is_tensor_like
from .ways import (
    Composed,
    Tf1Fused,
    Way,
    columns_of,
    fills_vectors,
    in_inference,
    in_training,
    why_op_dies,
)

# TF1 raises smaller epsilons to this for the fused op, as cuDNN demands; newer TF does not.
FUSED_MIN_EPSILON = 1.001e-5


class Kernel(enum.Enum):
    """FUSED is FusedBatchNormV3, COMPOSED is made of elementary ops."""

    FUSED = "fused"
    COMPOSED = "composed"


class Contract(NamedTuple):
    """The numbers of a call, which follow from the kernel that TF 1.15 takes for it.

    Attributes:
      fused: whether that is the fused op. Then `moving_variance` moves towards the sample variance,
        N / (N - 1) of the population's; epsilon is at least 1.001e-5; and 1 - momentum is computed
        in float32. Otherwise they are the population variance, epsilon as given, and float64.
      why_not: what kept TF 1.15 from it, in a few words; empty where `fused`.
      op_serves: whether the fused op could give the promised numbers all the same.
    """

    fused: bool
    why_not: str = ""
    op_serves: bool = True

    def epsilon(self, given: Any) -> Any:
        """What is added to the variance, of the `epsilon` of the layer.

        >>> Contract(fused=True).epsilon(1e-6), Contract(fused=False).epsilon(1e-6)
        (1.001e-05, 1e-06)
        """
        return max(float(given), FUSED_MIN_EPSILON) if self.fused else given


def contract_of(
    spec: BatchNormSpec, geometry: Geometry, moments_overridden: bool = False
) -> Contract:
    """What TF 1.15 promises for these arguments on an input of this geometry.

    Args:
      spec: the validated arguments.
      geometry: what they mean for the input.
      moments_overridden: whether a subclass computes the batch moments itself.

    Returns:
      The contract, which no machine changes.

    >>> from .geometry import geometry_of
    >>> spec = BatchNormSpec()
    >>> contract_of(spec, geometry_of(spec, (8, 4, 4, 3), "float32")).fused
    True
    >>> contract_of(spec, geometry_of(spec, (8, 3), "float32"))
    Contract(fused=False, why_not='rank 2', op_serves=True)
    """
    impossible = _why_not_fused(spec, geometry, moments_overridden)
    if impossible:
        return Contract(False, impossible, op_serves=False)
    refusal = _why_not_tf1_fused(spec, geometry)
    if refusal and float(spec.epsilon) < FUSED_MIN_EPSILON:
        reason = f"{refusal}; the fused op may raise an epsilon below {FUSED_MIN_EPSILON}"
        return Contract(False, reason, op_serves=False)
    return Contract(not refusal, refusal)


def _why_not_fused(spec: BatchNormSpec, geometry: Geometry, moments_overridden: bool) -> str:
    """What keeps the fused op out, be it TF 1.15's use of it or ours."""
    if spec.fused is not None and not spec.fused:
        return "fused=False"
    if moments_overridden:
        return "a subclass overrides _moments"
    if is_tensor_like(spec.epsilon):
        return "epsilon is a tensor, which the fused op cannot take"
    if "float64" in (geometry.dtype, geometry.param_dtype):
        return "the fused op has no float64 kernel"
    return ""


def _why_not_tf1_fused(spec: BatchNormSpec, geometry: Geometry) -> str:
    """What TF 1.15 does not fuse though the op could."""
    if spec.renorm:
        return "renorm"
    if spec.virtual_batch_size is not None:
        return "virtual batches"
    if spec.adjustment is not None:
        return "adjustment"
    if geometry.rank != 4:
        return f"rank {geometry.rank}"
    return "" if geometry.channel_axes in ((1,), (3,)) else f"axis {list(geometry.channel_axes)}"


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
    composed: rank 2; 2048 elements, fewer than 4000
    """
    contract, costs = contract_of(spec, geometry, moments_overridden), machine.costs
    size = geometry.elements(costs.assumed_batch, costs.assumed_size)
    # Below, nothing pays but elementary ops on the input as it is.
    least = min(
        costs.fused_training,
        costs.fused_inference,
        costs.ghost_training,
        costs.column_elements,
        costs.side_by_side_elements,
    )
    ghost, forced = spec.virtual_batch_size, spec.fused is not None
    as_it_is = size < least or ghost is not None or moments_overridden
    columns = None if as_it_is else columns_of(geometry, costs, size)
    if not contract.op_serves:
        return _composed(contract, contract.why_not, columns)
    if contract.fused:
        return _tf1_fused(contract, geometry, machine, columns, size)
    if size < least and not forced:
        why = f"{geometry.counted(size)}, fewer than {least:.0f}"
        return _composed(contract, f"{contract.why_not}; {why}")
    fold = row_fold(geometry, ghost, machine)
    dies = why_op_dies(fold, geometry, machine, ghost)
    if dies:
        return _composed(contract, f"{contract.why_not}; {dies}", columns)
    way, why = in_training(geometry, machine, fold, columns, size, forced)
    inference = in_inference(geometry, machine, size, forced)
    return KernelChoice(way, inference, f"{contract.why_not}; {why}", contract)


def _tf1_fused(
    contract: Contract, geometry: Geometry, machine: Machine, columns: Fold | None, size: int
) -> KernelChoice:
    """TF 1.15's own use of the op, or what is quicker and gives its numbers."""
    if geometry.channel_axes == (3,):
        way, reason = Tf1Fused("NHWC"), "rank 4 with the channel axis last"
    elif machine.nchw_runs:
        way, reason = Tf1Fused("NCHW"), "rank 4 with channel axis 1"
    else:
        way = Tf1Fused("NHWC", transposed=True)
        reason = "rank 4 with channel axis 1, transposed as the fused op runs NHWC alone here"
    if size < machine.costs.odd_images or fills_vectors(geometry, machine):
        return KernelChoice(way, way, reason, contract)
    channels = geometry.param_shape[0]
    reason = f"{reason}, but the fused op is slow for {channels} channels here"
    if columns is not None:
        reason = f"{reason}; {columns.reason}"
    inference = in_inference(geometry, machine, size, forced=False)
    return KernelChoice(Composed(columns), inference, reason, contract)


def sums_by_bias_gradient(shape: Sequence[int | None]) -> bool:
    """Whether the gradient of a bias add is the quicker sum over all axes but the last."""
    *others, channels = shape
    least = ANY_MACHINE.costs.bias_gradient_channels
    return 1 <= len(others) <= 3 and bool(channels and channels >= least)
