# SPDX-License-Identifier: Apache-2.0
"""BN112 to BN114: the update ops are collected too early, or for nothing."""

from __future__ import annotations

from typing import Iterator, Sequence

from .finding import Finding
from .source.facts import Argument, Call, Facts
from .source.norms import norm_of
from .source.tree import Tree


def collected_rules(tree: Tree) -> Iterator[Finding]:
    """Collections of update ops that miss some, or that nobody uses."""
    for facts in tree.files:
        collections = [call for call in facts.calls if _collects(call)]
        for call in collections:
            yield from _unused(facts, call)
            if call.is_straight and _is_whole(call) and not _is_again(call, collections):
                yield from _early(facts, call)


def _collects(call: Call) -> bool:
    key = call.argument("key", 0)
    if (
        key is None
        or key.value is None
        or not any(n.endswith(".get_collection") for n in call.names)
    ):
        return False
    words = str(key.value)
    return words == "update_ops" if key.is_literal else words.split(".")[-1] == "UPDATE_OPS"


def _is_whole(call: Call) -> bool:
    return not call.is_open and call.argument("scope", 1) is None


def _is_again(call: Call, collections: Sequence[Call]) -> bool:
    """Whether the file collects more than once, as who compares before and after."""
    return any(each is not call for each in collections)


def _unused(facts: Facts, call: Call) -> Iterator[Finding]:
    if call.into is None or (call.into and (call.into in facts.loaded or not call.scope)):
        # What a module binds may be for others.
        return
    kept = f"kept in `{call.into}` and never used" if call.into else "collected and dropped"
    text = f"the update ops are {kept}: nothing runs them; make the train op depend on them"
    yield Finding(facts.path, call.line, call.column, "BN114", text)


def _early(facts: Facts, collection: Call) -> Iterator[Finding]:
    beside = [call for call in facts.calls if call.scope == collection.scope]
    builders = [call for call in beside if _builds(call, facts)]
    graphs = [call for call in beside if any(name.endswith(".Graph") for name in call.names)]
    if any(call.order < collection.order for call in builders) or any(
        call.order > collection.order for call in graphs
    ):
        return
    later = [
        call
        for call in builders
        if call.order > collection.order and call.is_straight and not _says_false(call)
    ]
    if not later:
        return
    place = (facts.path, collection.line, collection.column)
    text = (
        f"the update ops are collected before the layer of line {later[0].line} is built, so "
        "they miss its updates; collect them when the model is complete"
    )
    before = facts.strangers.get(collection.scope)
    is_stranger = before is not None and before <= collection.order
    if is_stranger or _is_built_elsewhere(facts, collection, later):
        yield Finding(*place, "BN113", f"{text}, unless that layer does not train")
    else:
        yield Finding(*place, "BN112", text)


def _says_false(call: Call) -> bool:
    """Whether a function of the file may be told not to train."""
    given = (*call.positional, *call.keywords.values())
    return norm_of(call) is None and any(each == Argument(True, False) for each in given)


def _is_built_elsewhere(facts: Facts, collection: Call, later: Sequence[Call]) -> bool:
    """Whether another function builds layers too, perhaps before this one runs."""
    own = {collection.scope}.union(*(_reached(call, facts) for call in later))
    others = (call for call in facts.calls if call.scope not in own)
    return any(
        _builds(call, facts) and collection.scope not in _reached(call, facts) for call in others
    )


def _builds(call: Call, facts: Facts) -> bool:
    """Whether a call makes update ops: one of batch norm, or of a function of the file that has."""
    norm = norm_of(call)
    if norm is not None:
        return norm.is_called and not norm.says(False) and norm.is_collected is not False
    reached = _reached(call, facts)
    norms = [norm_of(each) for each in facts.calls if each.scope in reached]
    return any(each and each.is_called and each.is_collected is not False for each in norms)


def _reached(call: Call, facts: Facts) -> set[str]:
    """The functions of the file that a call runs, and those that they call."""
    seen: set[str] = set()
    waiting = [call]
    while waiting:
        new = set(_scopes(waiting.pop(), facts)) - seen
        seen |= new
        waiting += [each for each in facts.calls if each.scope in new]
    return seen


def _scopes(call: Call, facts: Facts) -> list[str]:
    """The functions of the file that a call may run."""
    found = []
    for name in call.names:
        found += [name, f"{name}().__init__", f"{name.rpartition('()')[0]}().__call__"]
    return [each for each in found if each in facts.functions]
