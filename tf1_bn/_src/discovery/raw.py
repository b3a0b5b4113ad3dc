# SPDX-License-Identifier: Apache-2.0
"""One normalization as its kernel has it, before calls and layers are made of several."""

from __future__ import annotations

from typing import NamedTuple

from .reading.nodes import Tensor
from .reading.tracing import Parameter


class Raw(NamedTuple):
    """A fused op or a chain of elementary ops.

    Attributes:
      anchor: the op that it was recognized by.
      input: what is normalized, as the kernel sees it.
      output: as the kernel gives it.
      phase: "training", "inference" or "switched".
      switch: the bool that decides.
      axes: the channel axes of `input`, None where the graph does not say.
      kernel: the type of the fused op, or "composed".
      epsilon: None where it is not a constant.
      gamma, beta, mean, variance: the parameters behind each; None for absent or unknown.
      renorm: averages of renorm that the affine reads.
      mean_roots, variance_roots: what the batch's statistics are made of.
      training_on: the value of `switch` with which the batch's statistics are taken.
    """

    anchor: str
    input: Tensor
    output: Tensor
    phase: str
    switch: Tensor | None
    axes: tuple[int, ...] | None
    kernel: str
    epsilon: float | None
    gamma: Parameter | None
    beta: Parameter | None
    mean: Parameter | None
    variance: Parameter | None
    renorm: tuple[Parameter, ...]
    mean_roots: frozenset[Tensor]
    variance_roots: frozenset[Tensor]
    training_on: bool = True
