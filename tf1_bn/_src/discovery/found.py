# SPDX-License-Identifier: Apache-2.0
"""What is found in a graph: plain values, which keep no graph alive."""

from __future__ import annotations

from typing import NamedTuple


class FoundVariables(NamedTuple):
    """The names of a layer's variables, of constants where the graph is frozen; None for absent.

    `renorm` holds the averages of renorm alone, in the order of the graph.
    """

    gamma: str | None
    beta: str | None
    moving_mean: str | None
    moving_variance: str | None
    renorm: tuple[str, ...]
    frozen: bool


class FoundUpdate(NamedTuple):
    """An op that moves an average, and the variable that it writes; `inside` a conditional."""

    op: str
    variable: str
    inside: bool


class FoundCall(NamedTuple):
    """One normalization.

    Attributes:
      input: what is normalized, `name:0`.
      output: of the same shape.
      phase: "training", "inference" or "switched"; "folded" where constants hold all of it.
      switch: of a switched one the bool tensor that decides.
      channel_axes: those of the input, None where the graph does not say; -1 is the last.
      kernel: the type of the fused op, or "composed".
      epsilon: None where it is not a constant.
      updates: the ops that move the averages by this call's batch.
      shape: of the input, None where the graph does not note it.
      training_on: the value of `switch` in training; False where it says that this is a test.
    """

    input: str
    output: str
    phase: str
    switch: str | None
    channel_axes: tuple[int, ...] | None
    kernel: str
    epsilon: float | None
    updates: tuple[FoundUpdate, ...]
    shape: tuple[int | None, ...] | None
    training_on: bool = True


class FoundLayer(NamedTuple):
    """Variables, and the calls that share them; `library` is what it looks like, a guess."""

    variables: FoundVariables
    calls: tuple[FoundCall, ...]
    library: str


class Found(NamedTuple):
    """The layers of a graph in its order, and what could not be read: an op's name and why."""

    layers: tuple[FoundLayer, ...]
    unread: tuple[str, ...]
