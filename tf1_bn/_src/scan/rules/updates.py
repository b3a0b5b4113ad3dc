# SPDX-License-Identifier: Apache-2.0
"""BN110 and BN111: the update ops are collected nowhere."""

from __future__ import annotations

from typing import Iterator, Sequence

from ..source.facts import Argument, Call, Facts
from ..source.norms import Norm, norm_of
from ..source.tree import Tree
from .finding import Finding
from .training import trains

_DYNAMIC = ("importlib", "imp", "__import__")
_MOST_STEPS = 3


def updates_rules(tree: Tree) -> Iterator[Finding]:
    """Train ops of files, connected by imports, in which nobody speaks of update ops."""
    handlers = [each for each in tree.files if _handles(each)]
    # These may load any other file.
    dynamic = any(_loads_by_name(each) for each in handlers)
    for group in tree.groups:
        if any(_handles(each) for each in group):
            continue
        found = [(facts, norm) for facts in group for norm in _updating(facts, group)]
        if not found:
            continue
        kept = any(norm.call.is_kept for _, norm in found)
        outside = sorted({name for each in group for name in tree.outside[each.path]})
        for facts in group:
            train = next((call for call in facts.calls if trains(call)), None)
            if train is not None:
                yield _finding(facts, train, found, outside, dynamic or kept)


def _finding(
    facts: Facts,
    train: Call,
    found: Sequence[tuple[Facts, Norm]],
    outside: Sequence[str],
    is_guess: bool,
) -> Finding:
    home, first = found[0]
    where = f"line {first.call.line}" if home is facts else f"{home.path}:{first.call.line}"
    calls = "call" if len(found) == 1 else f"{len(found)} calls, the first"
    text = (
        "nothing collects tf.GraphKeys.UPDATE_OPS, so the moving statistics of the batch-norm "
        f"{calls} in {where} stay 0 and 1"
    )
    place = (facts.path, train.line, train.column)
    if outside or is_guess:
        code = outside[0] if outside else "code that is loaded by name"
        return Finding(*place, "BN111", f"{text}, unless {code} does")
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
    for norm in map(norm_of, facts.calls):
        if norm is None or norm.is_ours and norm.call.is_kept:
            continue
        if norm.call.is_kept and norm.library == "layers":
            continue
        if norm.call.is_kept:
            yield norm
        elif norm.is_collected and not norm.says(False):
            value = None if norm.training is None else norm.training
            if value is None or not _is_off(value, norm.call.scope, facts, group, _MOST_STEPS):
                yield norm


def _is_off(
    value: Argument, scope: str, facts: Facts, group: Sequence[Facts], steps: int
) -> bool:
    """Whether each caller that can be seen gives False for it."""
    if value.is_literal:
        return not value.value
    given = facts.functions.get(scope, {})
    if value.value not in given or not steps:
        return False
    place = list(given).index(value.value)
    callers = [
        (each, call) for each in group for call in each.calls if _calls(call, scope, each, facts)
    ]
    found = [_given(call, value.value, place, scope, given) for _, call in callers]
    return bool(callers) and all(
        each is not None and _is_off(each, call.scope, home, group, steps - 1)
        for each, (home, call) in zip(found, callers)
    )


def _calls(call: Call, scope: str, caller: Facts, home: Facts) -> bool:
    """Whether a call may be one of the function whose scope this is."""
    name = scope.replace("().__init__", "").replace("().__call__", "()")
    return (name in call.names and caller is home) or f"@{home.path}:{name}" in call.names


def _given(
    call: Call, name: str, place: int, scope: str, defaults: object
) -> Argument | None:
    """What a call gives for a parameter; None where that is not seen."""
    if call.is_open or call.is_kept:
        return None
    # The object itself stands in front of a method's arguments.
    place -= "()." in scope
    found = call.argument(name, place) if place >= 0 else None
    return found or (defaults[name] if isinstance(defaults, dict) else None)
