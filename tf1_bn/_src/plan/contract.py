# SPDX-License-Identifier: Apache-2.0
"""What TF 1.15 promises for a call, whatever computes it here; no TensorFlow."""

from __future__ import annotations

from typing import Any, NamedTuple

from .geometry import Geometry
from .spec import BatchNormSpec, is_tensor_like

# TF1 raises smaller epsilons to this for the fused op, as cuDNN demands; newer TF does not.
FUSED_MIN_EPSILON = 1.001e-5


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
    if geometry.channel_axes not in ((1,), (3,)):
        return f"axis {list(geometry.channel_axes)}"
    return ""
