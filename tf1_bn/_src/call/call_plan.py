# SPDX-License-Identifier: Apache-2.0
"""What a call of a layer is made of, handed from step to step."""

from __future__ import annotations

from typing import NamedTuple

from ..kernels.moments import Affine, Moments, MomentsFn
from ..plan.geometry import Geometry
from ..plan.kernel_choice import KernelChoice
from ..plan.spec import BatchNormSpec
from ..runtime.tensorflow_v1 import Tensor
from ..state.variables import BatchNormVariables
from .calls import Call


class Plan(NamedTuple):
    """Everything decided before the first op of a call.

    Attributes:
      spec: the arguments of the layer.
      geometry: axes and shapes of the input.
      choice: the kernel of each phase.
      variables: those of the layer, each of the shape of its parameters.
      moments_fn: that of a subclass that has its own; otherwise None.
      in_place: whether the outputs are to wait for the updates.
      given: the moments of a batch of which this call sees a part, of the shape and dtype of the
        variables; None where the call measures its own.
      given_filled: of `given`, a scalar bool tensor, False if the whole batch is empty; None if it
        can never be.
      moves: whether update ops are to be built.
    """

    spec: BatchNormSpec
    geometry: Geometry
    choice: KernelChoice
    variables: BatchNormVariables
    moments_fn: MomentsFn | None = None
    in_place: bool = False
    given: Moments | None = None
    given_filled: Tensor | None = None
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


class Outcome(NamedTuple):
    """A call without its updates, and what these have to be told.

    Attributes:
      call: what has been built of it.
      moving: what the averages hold when the call runs.
      correction: r and d of renorm, `[channels]` each, where no conditional hides them.
      scopes: the full names that TF1 would give the two updates, after those of renorm; None where
        they come by themselves.
    """

    call: Call
    moving: Moments
    correction: Affine | None = None
    scopes: list[str] | None = None
