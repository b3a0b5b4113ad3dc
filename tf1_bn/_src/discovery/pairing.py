# SPDX-License-Identifier: Apache-2.0
"""From kernels to calls: views of the input undone, two phases of one call put together."""

from __future__ import annotations

from typing import Any, NamedTuple

from .raw import Raw
from .reading.nodes import Node, Tensor, View, shape_of
from .reading.tracing import choice

# What is done to an input, and what undoes it behind the kernel.
_UNDONE = {"Reshape": "Reshape", "Transpose": "Transpose", "Cast": "Cast", "Unpack": "Pack"}
_SWITCHES = ("Switch", "RefSwitch", "_Arg", "Identity")
_MERGES = ("Merge", "_If")


class _Part(NamedTuple):
    """A kernel, and where it is the end of a branch: the merge, and what that reads of it."""

    raw: Raw
    merge: Tensor | None
    given: Tensor | None


def called(view: View, raws: list[Raw]) -> list[Raw]:
    """One for each call, with the input and output that the caller knows."""
    groups: dict[tuple[Tensor, bool], list[_Part]] = {}
    for raw in raws:
        part = _part(view, _undone(view, raw))
        key = part.merge or part.raw.output, part.merge is not None
        groups.setdefault(key, []).append(part)
    calls = [raw for parts in groups.values() for raw in _together(view, parts)]
    return [_undone(view, raw) for raw in calls]


def _part(view: View, raw: Raw) -> _Part:
    merge = _merge(view, raw.output)
    if merge is None:
        return _Part(raw, None, None)
    if raw.phase == "switched":
        # Not a branch's: what decides in it is inside.
        output, data = merge[0], _outside(view, raw.input)
        return _Part(_named(view, raw._replace(output=output, input=data)), None, None)
    return _Part(raw._replace(input=_outside(view, raw.input)), *merge)


def _together(view: View, parts: list[_Part]) -> list[Raw]:
    """The calls that parts of one output are, or parts at the ends of two branches.

    Two phases are one call; other layers that a conditional chooses from are not.
    """
    raws: dict[Any, Raw] = {}
    for raw, _, _ in parts:
        held = raw.phase, raw.gamma, raw.beta, raw.variance
        raws[held] = _added(raws[held], raw) if held in raws else raw
    trained, tested = (
        next((each for each in raws.values() if each.phase == phase), None)
        for phase in ("training", "inference")
    )
    merge = parts[0].merge
    if merge is None or trained is None or tested is None or not _alike(trained, tested):
        return list(raws.values())
    chosen = choice(view, merge)
    switch = chosen.predicate if chosen is not None else None
    given = next(each.given for each in parts if each.raw.phase == "training")
    on = chosen is None or chosen.if_true == given
    whole = _named(view, _joined(trained, tested, switch, on)._replace(output=merge))
    return [whole, *(each for each in raws.values() if each not in (trained, tested))]


def _alike(first: Raw, second: Raw) -> bool:
    """Whether two may be phases of one layer: they are not known to hold other variables."""
    pairs = ((first.gamma, second.gamma), (first.beta, second.beta))
    return not any(
        one is not None and other is not None and one != other and not one.frozen
        for one, other in pairs
    )


def _undone(view: View, raw: Raw) -> Raw:
    """With the input and output that the caller knows, within one branch."""
    for _ in range(2):
        raw = _named(view, _peeled(view, raw))
    return raw


def _peeled(view: View, raw: Raw) -> Raw:
    """Without what is done to the input and undone behind the kernel."""
    data, output, axes = raw.input, raw.output, raw.axes
    for _ in range(6):
        before = view.node(data)
        undone = _UNDONE.get(before.op)
        after = [each for each in view.readers(output) if each.op == undone]
        if undone is None or not after or _differ(view, before.inputs[0], after[0]):
            break
        if before.op == "Reshape" or before.op == "Transpose" or before.op == "Unpack":
            axes = _axes_before(view, raw, before.inputs[0])
        data, output = before.inputs[0], (after[0].name, 0)
    return raw._replace(input=data, output=output, axes=axes)


def _differ(view: View, before: Tensor, after: Node) -> bool:
    """Whether the shapes before and behind are known to differ; of a transposition, the ranks."""
    first, second = shape_of(view, before), shape_of(view, (after.name, 0))
    if first is None or second is None or after.op != "Transpose":
        return False
    return len(first) != len(second)


def _axes_before(view: View, raw: Raw, tensor: Tensor) -> tuple[int, ...] | None:
    """The axis as long as a parameter, of an input that the kernel sees in another shape."""
    shape = shape_of(view, tensor)
    held = next((each for each in (raw.gamma, raw.beta, raw.variance) if each is not None), None)
    size = shape_of(view, (held.name, 0)) if held is not None else None
    if shape is None or size is None:
        return None
    long = [each for each in size if each != 1]
    if len(long) > 1 and len(size) == len(shape):
        return tuple(axis for axis, each in enumerate(size) if each != 1)
    fitting = [axis for axis, each in enumerate(shape) if axis and each in size and each != 1]
    return (fitting[0],) if len(fitting) == 1 else None


def _merge(view: View, output: Tensor) -> tuple[Tensor, Tensor] | None:
    """The merge of a conditional that `output` is a branch of, and what that reads of it."""
    for _ in range(4):
        following = None
        for reader in view.readers(output):
            if reader.op in _MERGES:
                place = reader.inputs.index(output)
                count = (len(reader.inputs) - 1) // 2
                if reader.op == "Merge":
                    return (reader.name, 0), output
                return (reader.name, place % count), output
            if reader.op in ("Identity", "Cast", "_Call", "Transpose") and reader.inputs:
                following = (
                    reader.name,
                    reader.inputs.index(output) if reader.op == "_Call" else 0,
                )
        if following is None:
            return None
        output = following
    return None


def _outside(view: View, tensor: Tensor) -> Tensor:
    """The tensor before the switch of a conditional."""
    for _ in range(4):
        node = view.node(tensor)
        if node.op not in _SWITCHES:
            break
        tensor = node.inputs[0]
        if node.op in ("Switch", "RefSwitch"):
            break
    return tensor


def _joined(trained: Raw, tested: Raw, switch: Tensor | None, on: bool) -> Raw:
    """One call of its two phases; statistics from inference, sums from training."""
    return trained._replace(
        phase="switched",
        switch=switch,
        training_on=on,
        gamma=trained.gamma or tested.gamma,
        beta=trained.beta or tested.beta,
        mean=tested.mean,
        variance=tested.variance,
        axes=trained.axes or tested.axes,
    )


def _added(first: Raw, second: Raw) -> Raw:
    """One call of two kernels that give parts of one output, as ghost batches may."""
    return first._replace(
        mean_roots=first.mean_roots | second.mean_roots,
        variance_roots=first.variance_roots | second.variance_roots,
    )


def _named(view: View, raw: Raw) -> Raw:
    """With the Identity behind the output, where it is all that reads it and in the same scope."""
    for _ in range(2):
        output = view.node(raw.output)
        readers = view.readers(raw.output)
        same = [each for each in readers if each.op == "Identity" and _near(each.name, output.name)]
        others = [each for each in readers if each not in same and not _is_gradient(each)]
        if len(same) != 1 or others:
            break
        raw = raw._replace(output=(same[0].name, 0))
    return raw


def _near(name: str, other: str) -> bool:
    scope = name.rpartition("/")[0]
    scope = scope.rpartition("/")[0] or scope
    return bool(scope) and other.startswith(scope + "/")


def _is_gradient(node: Node) -> bool:
    return "gradients" in node.name.split("/")[0]
