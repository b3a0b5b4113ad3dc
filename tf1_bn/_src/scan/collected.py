# SPDX-License-Identifier: Apache-2.0
"""BN112 to BN114: the update ops are collected too early, or for nothing."""

from __future__ import annotations

from typing import Iterator, Sequence

from .finding import Finding
from .source.facts import Argument, Call, Facts
from .source.norms import norm_of
from .source.tree import Tree

# With these a variable is read without its name.
_BY_TEXT = ("locals", "vars", "eval", "exec")


def collected_rules(tree: Tree) -> Iterator[Finding]:
    """Collections of update ops that miss some, or that nobody uses."""
    for group in tree.groups:
        unused = [(facts, call) for facts in group for call in facts.calls if _drops(facts, call)]
        if not any(_runs(facts, call) for facts in group for call in facts.calls):
            yield from (_unused(*each) for each in unused)
    for facts in tree.files:
        collections = [call for call in facts.calls if _collects(call)]
        for call in collections:
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


def _runs(facts: Facts, call: Call) -> bool:
    """Whether a call collects what somebody uses, or runs what is collected."""
    if _collects(call):
        return not _drops(facts, call)
    return any(name.split(".")[-1] in ("create_train_op", "optimize_loss") for name in call.names)


def _drops(facts: Facts, call: Call) -> bool:
    """Whether a call collects for nothing."""
    if not _collects(call) or call.into is None:
        return False
    # What a module binds may be for others.
    is_lost = not call.into or (call.into not in facts.loaded and bool(call.scope))
    return is_lost and (not call.into or facts.loaded.isdisjoint(_BY_TEXT))


def _unused(facts: Facts, call: Call) -> Finding:
    kept = f"kept in `{call.into}` and never used" if call.into else "collected and dropped"
    text = f"the update ops are {kept}: nothing runs them; make the train op depend on them"
    return Finding(facts.path, call.line, call.column, "BN114", text)


def _early(facts: Facts, collection: Call) -> Iterator[Finding]:
    beside = [call for call in facts.calls if call.scope == collection.scope]
    builders = [call for call in beside if _builds(call, facts)]
    graphs = [call for call in beside if any(name.endswith(".Graph") for name in call.names)]
    # A function that is kept may have been called by the one it was given to.
    before = [*builders, *(call for call in beside if call.is_kept and norm_of(call))]
    if any(call.order < collection.order for call in before) or any(
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
    first = facts.strangers.get(collection.scope)
    is_stranger = first is not None and first <= collection.order
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
