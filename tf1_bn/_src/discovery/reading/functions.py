# SPDX-License-Identifier: Apache-2.0
"""Bodies of functions, conditionals and loops put in place of their calls, as nodes of one view.

A body's argument is a node `_Arg` that reads what the call was given; a call is a node `_Call`, and
a loop a `_Loop`, that reads what its body returns; a conditional is an `_If` that reads what its
else-branch returns, then what its then-branch does, and last the predicate; all of them wait for
the ops that a body runs for their effect. So nobody who follows edges has to know of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .nodes import Node, Tensor

_MOST_NODES = 600_000
_DEEPEST = 30
_CONDITIONALS = ("If", "StatelessIf")
_LOOPS = ("While", "StatelessWhile")

# How many inputs an op has at least; a damaged file may have fewer.
_FEWEST = {
    **dict.fromkeys(("Square", "Sqrt", "Rsqrt", "Neg", "AddN", "BiasAddGrad", "StopGradient"), 1),
    **dict.fromkeys(("If", "StatelessIf", "NotEqual", "Greater", "Restore", "RestoreV2"), 1),
    **dict.fromkeys(("Mul", "Sub", "Add", "AddV2", "RealDiv", "Div", "DivNoNan", "Pow"), 2),
    **dict.fromkeys(("SquaredDifference", "Maximum", "Minimum", "BiasAdd", "BiasAddV1"), 2),
    **dict.fromkeys(("Mean", "Sum", "Reshape", "ConcatV2", "Switch", "RefSwitch"), 2),
    **dict.fromkeys(("Select", "SelectV2"), 3),
}

# Where the outputs of an op stand that has several of which bodies speak by name.
_FUSED = ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2")
_OUTPUTS = {
    "FusedBatchNorm": _FUSED,
    "FusedBatchNormV2": _FUSED,
    "FusedBatchNormV3": (*_FUSED, "reserve_space_3"),
    "Switch": ("output_false", "output_true"),
    "RefSwitch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
}


class Expanded(NamedTuple):
    """All nodes, and what could not be read of functions: the call's name and the reason."""

    nodes: list[Node]
    unread: list[str]


class _Body(NamedTuple):
    """Where nodes stand: below which name, with which arguments, inside of which functions."""

    prefix: str
    arguments: dict[str, Tensor]
    around: tuple[str, ...]
    ops: dict[str, str]


def expanded(graph_def: Any) -> Expanded:
    """The nodes of a GraphDef, with those of each function in place of each of its calls."""
    library = {each.signature.name: each for each in graph_def.library.function}
    result = Expanded([], [])
    _add(graph_def.node, _Body("", {}, (), {}), library, result)
    return result


def _add(nodes: Any, body: _Body, library: dict[str, Any], result: Expanded) -> None:
    for each in nodes:
        data = [name for name in each.input if not name.startswith("^")]
        inputs = tuple(_tensor(name, body) for name in data)
        name, waits = body.prefix + each.name, [n[1:] for n in each.input if n.startswith("^")]
        controls = tuple(body.prefix + wait for wait in waits)
        node = Node(name, each.op, inputs, controls, each.attr, each.device)
        if len(inputs) < _FEWEST.get(each.op, 0):
            result.unread.append(f"{name}: {each.op} has too few inputs")
            node = node._replace(op="_Damaged")
        called = _called(node, library)
        stuck = _obstacle(called, body, library, result) if called else ""
        if stuck:
            result.unread.append(f"{name}: {stuck}")
        result.nodes.append(
            node if stuck or not called else _call(node, called, body, library, result)
        )


def _tensor(name: str, body: _Body) -> Tensor:
    if not body.around:
        base, _, number = name.partition(":")
        return base, int(number) if number.isdigit() else 0
    if name in body.arguments:
        return body.arguments[name]
    base, *rest = name.split(":")
    place = int(rest[-1]) if rest and rest[-1].isdigit() else 0
    outputs = _OUTPUTS.get(body.ops.get(base, ""), ())
    offset = outputs.index(rest[0]) if rest and rest[0] in outputs else 0
    return body.prefix + base, offset + place


def _called(node: Node, library: dict[str, Any]) -> list[str]:
    """The functions a node calls, else-branch first; none for an ordinary op."""
    if node.op in _CONDITIONALS:
        keys = ["else_branch", "then_branch"]
    elif node.op in _LOOPS:
        keys = ["body"]
    elif node.op in ("PartitionedCall", "StatefulPartitionedCall"):
        keys = ["f"]
    else:
        return [node.op] if node.op in library else []
    return [node.attributes[key].func.name for key in keys if key in node.attributes]


def _obstacle(called: list[str], body: _Body, library: dict[str, Any], result: Expanded) -> str:
    for name in called:
        if name not in library:
            return f"the function {name} is not in the graph"
        if name in body.around:
            return f"the function {name} calls itself"
    if len(body.around) >= _DEEPEST or len(result.nodes) > _MOST_NODES:
        return "functions are nested too deep, or called too often, to be read"
    return ""


def _call(
    node: Node, called: list[str], body: _Body, library: dict[str, Any], result: Expanded
) -> Node:
    conditional = node.op in _CONDITIONALS
    given = node.inputs[1:] if conditional else node.inputs
    returned: list[Tensor] = []
    run = list(node.controls)
    for place, name in enumerate(called):
        prefix = f"{node.name}/" + (("else/", "then/")[place] if conditional else "")
        returned += _body(library[name], prefix, given, body, library, result)
        run += [prefix + each for each in library[name].control_ret.values()]
    node = node._replace(controls=tuple(run))
    if conditional:
        return node._replace(op="_If", inputs=(*returned, node.inputs[0]))
    op = "_Loop" if node.op in _LOOPS else "_Call"
    return node._replace(op=op, inputs=tuple(returned))


def _body(
    function: Any,
    prefix: str,
    given: tuple[Tensor, ...],
    body: _Body,
    library: dict[str, Any],
    result: Expanded,
) -> list[Tensor]:
    """Adds the body of a function; returns what it returns."""
    arguments: dict[str, Tensor] = {}
    for argument, value in zip(function.signature.input_arg, given):
        node = Node(prefix + argument.name, "_Arg", (value,), (), {})
        result.nodes.append(node)
        arguments[argument.name] = (node.name, 0)
    ops = {each.name: each.op for each in function.node_def}
    inside = _Body(prefix, arguments, (*body.around, function.signature.name), ops)
    _add(function.node_def, inside, library, result)
    outputs = (function.ret[each.name] for each in function.signature.output_arg)
    return [_tensor(name, inside) for name in outputs]
