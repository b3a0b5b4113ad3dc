# SPDX-License-Identifier: Apache-2.0
"""Where a tensor comes from: back through what only passes it on, to a variable or an op."""

from __future__ import annotations

from typing import Iterator, NamedTuple

from .nodes import Node, Tensor, View, constant_shape, constant_values

# A chain longer than this is not part of a normalization; it also bounds cycles.
_LONGEST = 200
VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
MERGES = ("Merge", "RefMerge", "_If", "Select", "SelectV2")
PRODUCTS = ("Mul",)
SUMS = ("Add", "AddV2", "Sub", "BiasAdd", "BiasAddV1", "AddN", "Neg")
_SWITCHES = ("Switch", "RefSwitch")
_MERGED = ("Merge", "RefMerge")
_PASSING = (
    *("Identity", "IdentityN", "Snapshot", "PreventGradient", "CheckNumerics", "RefIdentity"),
    *("Enter", "RefEnter", "Exit", "ReadVariableOp", "_Arg", "_Call", "_Loop", *_SWITCHES),
    *("Assign", "AssignSub", "AssignAdd"),
    *("Cast", "Reshape", "Squeeze", "ExpandDims", "BroadcastTo", "Tile", "Transpose", "Unpack"),
)


class Parameter(NamedTuple):
    """The node that holds a parameter, and whether it is a constant."""

    name: str
    frozen: bool


def step_back(view: View, tensor: Tensor) -> Tensor | None:
    """What an op that only passes a tensor on was given; None for other ops."""
    node = view.node(tensor)
    if node.op in _PASSING and node.inputs:
        several = node.op in ("IdentityN", "_Call", "_Loop") and tensor[1] < len(node.inputs)
        return node.inputs[tensor[1] if several else 0]
    return None


def back(view: View, tensor: Tensor, stop: bool = True) -> Tensor:
    """The tensor before all ops that only pass it on, in whatever shape and dtype.

    Args:
      view: of the graph.
      tensor: where to begin.
      stop: whether a StopGradient ends the way.
    """
    for _ in range(_LONGEST):
        before = step_back(view, tensor)
        if before is None and not stop and view.node(tensor).op == "StopGradient":
            before = view.node(tensor).inputs[0]
        if before is None:
            break
        tensor = before
    return tensor


def parameter(view: View, tensor: Tensor) -> Parameter | None:
    """The variable or the constant of at least one axis that is behind `tensor`.

    A constant of equal values that nothing stands between is no parameter: layers without gamma or
    beta put ones or zeros in place of it.
    """
    root = back(view, tensor)
    node = view.node(root)
    if node.op in VARIABLES:
        return Parameter(node.name, False)
    if node.op == "ConcatV2" and all(
        view.node(back(view, part)).op in VARIABLES for part in node.inputs[:-1]
    ):
        return Parameter(back(view, node.inputs[0])[0], False)
    if not constant_shape(node):
        return None
    direct = not _is_read(view, tensor)
    values = constant_values(node)
    if direct and values is not None and len(values) and (values == values[0]).all():
        return None if values[0] in (0, 1) else Parameter(node.name, True)
    return Parameter(node.name, True)


def _is_read(view: View, tensor: Tensor) -> bool:
    """Whether an op that reads variables stands on the way back, as it stays when they freeze."""
    for _ in range(_LONGEST):
        if view.node(tensor).op in ("Identity", "ReadVariableOp"):
            return True
        before = step_back(view, tensor)
        if before is None:
            return False
        tensor = before
    return False


def terms(view: View, tensor: Tensor, ops: tuple[str, ...], most: int = 24) -> Iterator[Tensor]:
    """The parts of a sum or product, in whatever nesting; `ops` are those that are taken apart."""
    waiting = [tensor]
    while waiting and most:
        most -= 1
        current = back(view, waiting.pop())
        if view.node(current).op in ops:
            waiting.extend(reversed(view.node(current).inputs))
        else:
            yield current


def parameter_among(view: View, tensor: Tensor, ops: tuple[str, ...]) -> Parameter | None:
    """The first parameter that is a part by itself of the sum or product `tensor`."""
    found = parameter(view, tensor)
    if found is not None:
        return found
    waiting, most = [tensor], 24
    while waiting and most:
        most -= 1
        current = waiting.pop()
        found = parameter(view, current)
        if found is not None:
            return found
        node = view.node(back(view, current))
        if node.op in ops:
            waiting.extend(reversed(node.inputs))
    return None


def scalar(view: View, tensor: Tensor) -> float | None:
    """The value of a constant without axes."""
    node = view.node(back(view, tensor))
    values = constant_values(node) if constant_shape(node) == () else None
    return float(values[0]) if values is not None and len(values) else None


# -- conditionals --------------------------------------------------------------------------------


class Choice(NamedTuple):
    """A merge of two branches: what each gives, and the bool tensor that decides."""

    if_false: Tensor
    if_true: Tensor
    predicate: Tensor | None


def choice(view: View, tensor: Tensor) -> Choice | None:
    """The two branches that `tensor` is one of; None if it is no merge of two."""
    node, number = view.node(tensor), tensor[1]
    if node.op in ("Select", "SelectV2"):
        return Choice(node.inputs[2], node.inputs[1], decider(view, node.inputs[0]))
    if node.op == "_If":
        count = (len(node.inputs) - 1) // 2
        if number >= count:
            return None
        parts = node.inputs[number], node.inputs[count + number]
        return Choice(*parts, decider(view, node.inputs[-1]))
    if node.op not in ("Merge", "RefMerge") or len(node.inputs) != 2:
        return None
    first, second = (branch_of(view, part) for part in node.inputs)
    known = first or second
    swapped = (first is not None and first[1]) or (first is None and second and not second[1])
    parts = node.inputs[::-1] if swapped else node.inputs
    return Choice(parts[0], parts[1], known[0] if known else None)


def branch_of(view: View, tensor: Tensor, most: int = 60) -> tuple[Tensor, bool] | None:
    """The predicate of the innermost conditional around `tensor`, and which branch it stands in."""
    waiting, seen = [tensor], {tensor}
    for current in waiting:
        node = view.node(current)
        if node.op in _SWITCHES:
            return decider(view, node.inputs[1]), bool(current[1])
        most -= 1
        if not most:
            return None
        for before in (*node.inputs, *((name, 0) for name in node.controls if name in view.nodes)):
            if before not in seen:
                seen.add(before)
                waiting.append(before)
    return None


def decider(view: View, predicate: Tensor) -> Tensor:
    """The bool that somebody decides on, without the question whether the batch has values."""
    predicate = back(view, predicate)
    node = view.node(predicate)
    if node.op == "LogicalAnd":
        others = [part for part in node.inputs if not asks_size(view, part)]
        if len(others) == 1:
            return back(view, others[0])
    return predicate


def asks_size(view: View, predicate: Tensor) -> bool:
    """Whether a bool says no more than that a tensor has values."""
    node = view.node(back(view, predicate))
    if node.op in ("NotEqual", "Greater"):
        node = view.node(back(view, node.inputs[0]))
    return node.op in ("Size", "Shape", "StridedSlice", "Prod")


def inside_conditional(view: View, node: Node) -> bool:
    """Whether a node stands in a branch or a loop, of either control flow."""
    words = node.name.split("/")
    scopes = ("/".join(words[:count]) for count in range(1, len(words)))
    around = (view.nodes[scope].op for scope in scopes if scope in view.nodes)
    if any(op in ("_If", "_Loop") for op in around):
        return True
    return _behind_switch(view, node)


def _behind_switch(view: View, node: Node, most: int = 120) -> bool:
    """Whether the way back leads into a branch or a loop, and not only through whole ones."""
    waiting, seen = [(node.name, 0)], {(node.name, 0)}
    for name, depth in waiting:
        current = view.nodes[name]
        inputs = [each for each in current.inputs if view.node(each).op != "NextIteration"]
        # The merge at the head of a loop is inside of it.
        is_head = len(inputs) < len(current.inputs)
        if current.op in ("Exit", "RefExit") or (current.op in _MERGED and not is_head):
            depth += 1
        elif current.op in ("Enter", "RefEnter", *_SWITCHES):
            depth -= 1
            if depth < 0:
                return True
        for before in (*(each[0] for each in inputs), *current.controls):
            state = before, depth
            if before in view.nodes and state not in seen and len(seen) < most:
                seen.add(state)
                waiting.append(state)
    return False
