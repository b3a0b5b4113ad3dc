# SPDX-License-Identifier: Apache-2.0
"""What a call of a layer is made of, handed from step to step."""

from __future__ import annotations

from typing import NamedTuple

from ..kernels.batch import Affine
from ..kernels.moments import Moments, MomentsFn
from ..kernels.renorm import RenormCorrection
from ..plan.geometry import Geometry
from ..plan.kernel_choice import KernelChoice
from ..plan.spec import BatchNormSpec
from ..runtime.tensorflow_v1 import Tensor
from ..state.variables import BatchNormVariables


class Given(NamedTuple):
    """The moments of a batch of which this call sees a part.

    `moments` have the shape and dtype of the variables; `filled` is a scalar bool tensor, False if
    the whole batch is empty, None if it can never be.
    """

    moments: Moments
    filled: Tensor | None


class Plan(NamedTuple):
    """Everything decided before the first op of a call.

    `moments_fn` only if a subclass has one; `in_place` if the outputs are to wait for the updates;
    `given` only if the batch's moments come from outside of the call; `moves` is False where no
    update ops are to be built.
    """

    spec: BatchNormSpec
    geometry: Geometry
    choice: KernelChoice
    variables: BatchNormVariables
    moments_fn: MomentsFn | None = None
    in_place: bool = False
    given: Given | None = None
    moves: bool = True


class State(NamedTuple):
    """What a phase starts from: what the variables hold when the call runs, read once.

    All of the shape and dtype of the variables; `renorm` are mean and deviation, `given` the
    batch's moments where they come from outside of the call.
    """

    learned: Affine
    moving: Moments
    renorm: tuple[Tensor, Tensor] | None = None
    given: Moments | None = None


class Normalized(NamedTuple):
    """The outcome of one phase: outputs, and the statistics the averages move towards.

    `correction` is that of renorm where no conditional hides it.
    """

    outputs: Tensor
    moments: Moments
    correction: RenormCorrection | None = None
