# SPDX-License-Identifier: Apache-2.0
"""What a mean or a variance is made of: sums over which axes of which tensor, and averages."""

from __future__ import annotations

from typing import Iterable, NamedTuple

from .nodes import Node, Tensor, View, constant_values, shape_of
from .tracing import MERGES, Choice, Parameter, asks_size, back, choice, parameter, step_back

_MOST = 200
FUSED = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "_FusedBatchNormEx")
_REDUCTIONS = ("Mean", "Sum", "BiasAddGrad")
_ARITHMETIC = (
    *("Mul", "Sub", "Add", "AddV2", "AddN", "RealDiv", "Div", "DivNoNan", "Square", "Neg"),
    *("SquaredDifference", "Sqrt", "Rsqrt", "Maximum", "Minimum", "StopGradient", "ConcatV2"),
)
_SOURCELESS = ("Const", "Size", "Shape", "OnesLike", "ZerosLike", "Fill", "Range")


class Origin(NamedTuple):
    """What numbers are made of, as far as they are made by small steps.

    Attributes:
      reductions: the sums and means of a batch, and a fused op's two statistics.
      parameters: variables and frozen ones, in the order they were met.
      switch: the bool that decides between branches; None without one.
      switched: whether there are branches.
      others: tensors that are neither, such as the input of a layer.
      branches: those that `switch` decides between.
    """

    reductions: frozenset[Tensor]
    parameters: tuple[Parameter, ...]
    switch: Tensor | None
    switched: bool
    others: tuple[Tensor, ...]
    branches: Choice | None = None


def origin(view: View, tensor: Tensor, most: int = _MOST) -> Origin:
    """Follows `tensor` back to what it is made of; what is too far away counts as others."""
    reductions: set[Tensor] = set()
    parameters: dict[Parameter, None] = {}
    others: list[Tensor] = []
    branches: Choice | None = None
    waiting, seen = [tensor], {tensor}
    for current in waiting:
        most -= 1
        node, held = view.node(current), parameter(view, current)
        chosen = choice(view, current) if node.op in MERGES else None
        before: Iterable[Tensor] = ()
        if held is not None:
            parameters[held] = None
        elif node.op in FUSED and current[1] in (1, 2):
            reductions.add(current)
        elif node.op in _REDUCTIONS:
            nested = _is_statistic(view, node.inputs[0])
            reductions.update(() if nested else (current,))
            before = [node.inputs[0]] if nested else []
        elif chosen is not None:
            before = [chosen.if_true, chosen.if_false]
            # What an empty batch falls back to is no part of it.
            if node.op.startswith("Select") and asks_size(view, node.inputs[0]):
                before = [chosen.if_true]
            else:
                branches = branches if branches and branches.predicate else chosen
        elif step_back(view, current) is not None:
            before = [step_back(view, current) or current]
        elif node.op in _ARITHMETIC:
            before = node.inputs
        elif node.op not in _SOURCELESS:
            others.append(current)
        if most <= 0:
            others = [current]
            break
        new = [each for each in dict.fromkeys(before) if each not in seen]
        seen.update(new)
        waiting.extend(new)
    switch = branches.predicate if branches is not None else None
    found = frozenset(reductions), tuple(parameters)
    return Origin(*found, switch, branches is not None, tuple(others), branches)


def training_side(view: View, known: Origin) -> bool:
    """The value of the switch with which numbers are a batch's; True where both may be."""
    if known.branches is None:
        return True
    if_true, if_false = (
        origin(view, each).reductions for each in (known.branches.if_true, known.branches.if_false)
    )
    return bool(if_true) or not if_false


def _is_statistic(view: View, tensor: Tensor) -> bool:
    """Whether a sum over `tensor` adds up statistics, such as those of ghost batches."""
    root = back(view, tensor)
    node = view.node(root)
    parts = [back(view, part) for part in node.inputs] if node.op == "Mul" else [root]
    return any(view.node(p).op in _REDUCTIONS or (p[1] > 0 and is_fused(view, p)) for p in parts)


def is_fused(view: View, tensor: Tensor) -> bool:
    return view.node(tensor).op in FUSED


class Reduced(NamedTuple):
    """A sum over a batch: of which tensor, of its squares or not, over which axes.

    `axes` are None where the graph does not say, and -1 stands for all but the last.
    """

    data: Tensor
    squared: bool
    axes: tuple[int, ...] | None

    @property
    def over_batch(self) -> bool:
        return self.axes is not None and (0 in self.axes or self.axes == (-1,))


def reduced(view: View, reduction: Tensor) -> Reduced:
    """What a Mean, Sum or BiasAddGrad sums up."""
    node = view.node(reduction)
    data, squared = node.inputs[0], False
    inner = view.node(back(view, data))
    if inner.op == "SquaredDifference":
        data, squared = inner.inputs[0], True
        if view.node(back(view, data, stop=False)).op in _REDUCTIONS:
            data = inner.inputs[1]
    elif inner.op == "Square" or (inner.op == "Mul" and inner.inputs[0] == inner.inputs[1]):
        data, squared = inner.inputs[0], True
        center = view.node(back(view, data))
        if center.op == "Sub":
            data = center.inputs[0]
    return Reduced(data, squared, _axes(view, node))


def _axes(view: View, node: Node) -> tuple[int, ...] | None:
    if node.op == "BiasAddGrad":
        return (-1,)
    values = constant_values(view.node(back(view, node.inputs[1])))
    if values is None:
        return None
    shape = shape_of(view, node.inputs[0])
    axes = [int(value) for value in values]
    if shape is not None:
        axes = [axis % len(shape) if shape else axis for axis in axes]
    return tuple(sorted(axes))
