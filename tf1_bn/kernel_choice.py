# SPDX-License-Identifier: Apache-2.0
"""Which kernel normalizes, and why: the one place that decides, no TensorFlow."""

from __future__ import annotations

import enum
from typing import NamedTuple

from .geometry import Geometry
from .spec import BatchNormSpec, is_tensor_like


class Kernel(enum.Enum):
    """FUSED is FusedBatchNormV3, UNFUSED is composed of elementary ops."""

    FUSED = "fused"
    UNFUSED = "unfused"


class KernelChoice(NamedTuple):
    """A kernel and the sentence that says why it was taken.

    `data_format` is what the fused op is given; `transposed` says that an NCHW input is turned to
    NHWC for it and back, because this machine's op knows NHWC alone.
    """

    kernel: Kernel
    reason: str
    data_format: str = ""
    transposed: bool = False

    @property
    def fused(self) -> bool:
        return self.kernel is Kernel.FUSED


def choose_kernel(
    spec: BatchNormSpec,
    geometry: Geometry,
    nchw_runs: bool = True,
    moments_overridden: bool = False,
) -> KernelChoice:
    """Picks the kernel TF 1.15 would, and falls back silently where it has none.

    The choice is part of the contract: the fused kernel puts the N / (N - 1) variance into
    moving_variance and raises epsilon to 1.001e-5, the unfused one does neither.

    Args:
      spec: the validated arguments.
      geometry: what they mean for the input.
      nchw_runs: whether the host's fused op runs NCHW.
      moments_overridden: whether a subclass computes the batch moments itself.
    """
    refusal = _why_not_fused(spec, geometry, moments_overridden)
    if refusal:
        return KernelChoice(Kernel.UNFUSED, refusal)
    if geometry.channel_axes == (3,):
        return KernelChoice(Kernel.FUSED, "rank 4 with the channel axis last", "NHWC")
    if nchw_runs:
        return KernelChoice(Kernel.FUSED, "rank 4 with channel axis 1", "NCHW")
    reason = "rank 4 with channel axis 1, transposed as the fused op runs NHWC alone here"
    return KernelChoice(Kernel.FUSED, reason, "NHWC", transposed=True)


def _why_not_fused(spec: BatchNormSpec, geometry: Geometry, moments_overridden: bool) -> str:
    if spec.fused is not None and not spec.fused:
        return "fused=False"
    if spec.renorm:
        return "renorm is not fused"
    if spec.virtual_batch_size is not None:
        return "virtual batches are not fused"
    if spec.adjustment is not None:
        return "adjustment is not fused"
    if moments_overridden:
        return "a subclass overrides _moments"
    if is_tensor_like(spec.epsilon):
        return "epsilon is a tensor, which the fused op cannot take"
    if "float64" in (geometry.dtype, geometry.param_dtype):
        return "the fused op has no float64 kernel"
    if geometry.rank != 4:
        return f"rank {geometry.rank}: only rank 4 is fused"
    if geometry.channel_axes not in ((1,), (3,)):
        return f"axis {list(geometry.channel_axes)}: only a single axis 1 or 3 is fused"
    return ""
