# SPDX-License-Identifier: Apache-2.0
"""BN110 and BN111: the update ops are collected nowhere."""

from __future__ import annotations

from typing import Iterator, Mapping, Sequence

from .finding import Finding
from .source.facts import Argument, Call, Facts
from .source.norms import Norm, norm_of
from .source.tree import Tree
from .training import trained, trains, trains_some

_DYNAMIC = ("importlib", "imp", "__import__")
_MOST_STEPS = 3


def updates_rules(tree: Tree) -> Iterator[Finding]:
    """Train ops of files, connected by imports, in which nobody speaks of update ops."""
    # These may load any other file.
    loads = any(_loads_by_name(each) for each in tree.files if _handles(each))
    used = trained(tree)
    for whole in tree.groups:
        if any(_handles(each) for each in whole):
            continue
        group = [facts for facts in whole if facts.path in used]
        found = [(facts, norm) for facts in group for norm in _updating(facts, group)]
        if found:
            doubt = "code that is loaded by name does" if loads else _doubt(tree, group, found)
            for facts in group:
                train = next((call for call in facts.calls if trains(call)), None)
                if train is not None:
                    yield _finding(facts, train, found, doubt)


def _doubt(tree: Tree, group: Sequence[Facts], found: Sequence[tuple[Facts, Norm]]) -> str:
    """Why nothing may be wrong after all, as the end of a sentence; "" where that is not seen."""
    outside = sorted({name for each in group for name in tree.outside[each.path]})
    if outside:
        return f"{outside[0]} does"
    if any(norm.call.is_kept for _, norm in found):
        return "its parameters say otherwise"
    if all(norm.says(True) for _, norm in found):
        return "the batch's statistics are meant to be used in evaluation too, as in every call"
    is_on = any(_is_all(True, norm, facts, group) for facts, norm in found)
    if trains_some(group) and not is_on:
        return "these layers are not trained"
    return ""


def _finding(facts: Facts, train: Call, found: Sequence[tuple[Facts, Norm]], doubt: str) -> Finding:
    home, first = found[0]
    where = f"line {first.call.line}" if home is facts else f"{home.path}:{first.call.line}"
    calls = "call" if len(found) == 1 else f"{len(found)} calls, the first"
    text = (
        "nothing collects tf.GraphKeys.UPDATE_OPS, so the moving statistics of the batch-norm "
        f"{calls} in {where} stay 0 and 1"
    )
    place = (facts.path, train.line, train.column)
    if doubt:
        return Finding(*place, "BN111", f"{text}, unless {doubt}")
    mend = "; make the train op depend on them, or use tf1_bn.minimize"
    return Finding(*place, "BN110", text + mend)


def _handles(facts: Facts) -> bool:
    """Whether a file may see to the update ops."""
    ours = ("tf1_bn.minimize", "tf1_bn.updates")
    return facts.has_updates or any(name in ours for use in facts.uses for name in use.names)


def _loads_by_name(facts: Facts) -> bool:
    return any(one.module.split(".")[0] in _DYNAMIC for one in facts.imports) or (
        "__import__" in facts.loaded
    )


def _updating(facts: Facts, group: Sequence[Facts]) -> Iterator[Norm]:
    """The calls of a file whose update ops go to UPDATE_OPS, and perhaps train."""
    placed = any(each.has_places for each in group)
    for norm in map(norm_of, facts.calls):
        # Where the updates of contrib's go, an arg_scope or a dict of parameters may say.
        if norm is None or (norm.library == "contrib" and placed):
            continue
        if norm.call.is_kept:
            if norm.library == "contrib":
                yield norm
        elif norm.is_collected and not norm.says(False) and not _is_all(False, norm, facts, group):
            yield norm


def _is_all(wanted: bool, norm: Norm, facts: Facts, group: Sequence[Facts]) -> bool:
    """Whether `training` is certainly this value, in all calls of the function around it."""
    if norm.training is None:
        return norm.says(wanted)
    return _is(wanted, norm.training, norm.call.scope, facts, group, _MOST_STEPS)


def _is(
    wanted: bool, value: Argument, scope: str, facts: Facts, group: Sequence[Facts], steps: int
) -> bool:
    if value.is_literal:
        return bool(value.value) == wanted
    given = facts.functions.get(scope, {})
    if value.value not in given or not steps:
        return False
    callers = [
        (each, call) for each in group for call in each.calls if _calls(call, scope, each, facts)
    ]
    found = [_given(call, value.value, scope, given) for _, call in callers]
    # One that trains is enough to train; all must not, for all to be off.
    decides = any if wanted else all
    return bool(callers) and decides(
        each is not None and _is(wanted, each, call.scope, home, group, steps - 1)
        for each, (home, call) in zip(found, callers)
    )


def _calls(call: Call, scope: str, caller: Facts, home: Facts) -> bool:
    """Whether a call may be one of the function whose scope this is."""
    name = scope.replace("().__init__", "").replace("().__call__", "()")
    return (name in call.names and caller is home) or f"@{home.path}:{name}" in call.names


def _given(
    call: Call, name: str, scope: str, parameters: Mapping[str, Argument | None]
) -> Argument | None:
    """What a call gives for a parameter of a function; None where that is not seen."""
    if call.is_open or call.is_kept:
        return None
    # The object itself stands in front of a method's arguments.
    place = list(parameters).index(name) - ("()." in scope)
    found = call.argument(name, place) if place >= 0 else None
    return found or parameters[name]
