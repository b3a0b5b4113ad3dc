# SPDX-License-Identifier: Apache-2.0
"""BN101 to BN104: what the calls of a file that trains say of `training`."""

from __future__ import annotations

from typing import Iterator, Sequence

from ..source.facts import Call, Facts
from ..source.norms import Norm, norm_of
from ..source.reader import HARMLESS
from ..source.tree import Tree
from .finding import Finding

_TRAINING = ("minimize", "apply_gradients", "create_train_op", "optimize_loss")


def trains(call: Call) -> bool:
    """Whether a call makes a train op."""
    return any(
        name.split(".")[-1] in _TRAINING and name.split(".")[0] not in HARMLESS
        for name in call.names
    )


def training_rules(tree: Tree) -> Iterator[Finding]:
    """What is wrong with `training`, file by file."""
    for group in tree.groups:
        scoped = any(_is_scope_of_training(call) for each in group for call in each.calls)
        for facts in group:
            if any(trains(call) for call in facts.calls):
                found = [norm for norm in map(norm_of, facts.calls) if norm is not None]
                called = [norm for norm in found if norm.is_called]
                yield from _missing(facts, [norm for norm in called if norm.library == "layers"])
                yield from _fixed(facts, called, scoped)


def _missing(facts: Facts, called: Sequence[Norm]) -> Iterator[Finding]:
    missing = [norm for norm in called if norm.leaves_out()]
    is_all = len(missing) == len(called)
    for norm in missing:
        where = (facts.path, norm.call.line, norm.call.column)
        if is_all:
            text = (
                "`training` is left out, which means False: the file trains, but this layer uses "
                "moving statistics that never move from 0 and 1; pass training=True, or a placeholder"
            )
            yield Finding(*where, "BN101", text)
        else:
            text = (
                "`training` is left out, which means False, while other calls of this file give "
                "it; write training=False if that is meant"
            )
            yield Finding(*where, "BN102", text)


def _fixed(facts: Facts, called: Sequence[Norm], scoped: bool) -> Iterator[Finding]:
    on = [norm for norm in called if norm.says(True)]
    off = [norm for norm in called if norm.says(False) and not norm.leaves_out()]
    for norm in on:
        # Both literals in one file are two phases; and an arg_scope may give another value.
        given = "training=True" if norm.library == "layers" else "is_training=True"
        if off or not norm.call.is_straight or (norm.training is None and scoped):
            continue
        said = given if norm.training else "is_training is left out, which means True"
        text = f"{said}: validation and export through this call use the batch's statistics too"
        yield Finding(facts.path, norm.call.line, norm.call.column, "BN103", text)
    if off and len(off) == len(called):
        for norm in off:
            text = (
                "training is False in each call of a file that trains: right for frozen layers; "
                "otherwise the moving statistics never move"
            )
            yield Finding(facts.path, norm.call.line, norm.call.column, "BN104", text)


def _is_scope_of_training(call: Call) -> bool:
    """Whether it may give `is_training` to calls that leave it out."""
    is_scope = any(name.split(".")[-1] == "arg_scope" for name in call.names)
    return is_scope and (call.is_open or "is_training" in call.keywords)
