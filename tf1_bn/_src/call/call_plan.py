# SPDX-License-Identifier: Apache-2.0
"""What a call of a layer is made of, handed from step to step."""

from __future__ import annotations

from typing import Callable, NamedTuple

from ..kernels.affine import Affine
from ..kernels.moments import Moments, MomentsFn, has_values
from ..kernels.renorm import RenormCorrection
from ..plan.geometry import Geometry
from ..plan.kernel_choice import KernelChoice
from ..plan.spec import BatchNormSpec
from ..runtime.tensorflow_v1 import Tensor
from ..state.variables import BatchNormVariables


class Plan(NamedTuple):
    """Everything decided before the first op of a call.

    `moments_fn` only if a subclass has one; `in_place` if the outputs are to wait for the updates;
    `moves` is False where no update ops are to be built.
    """

    spec: BatchNormSpec
    geometry: Geometry
    choice: KernelChoice
    variables: BatchNormVariables
    moments_fn: MomentsFn | None = None
    in_place: bool = False
    has_values_fn: Callable[[Tensor, Geometry], Tensor | None] = has_values
    moves: bool = True


class State(NamedTuple):
    """What the variables hold when the call runs, read once; `renorm` are mean and deviation."""

    learned: Affine
    moving: Moments
    renorm: tuple[Tensor, Tensor] | None = None


class Normalized(NamedTuple):
    """The outcome of one phase: outputs, and the statistics the averages move towards.

    `correction` is that of renorm where no conditional hides it.
    """

    outputs: Tensor
    moments: Moments
    correction: RenormCorrection | None = None
