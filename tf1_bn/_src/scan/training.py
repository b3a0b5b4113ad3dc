# SPDX-License-Identifier: Apache-2.0
"""BN101 to BN104: what the calls of code that trains say of `training`."""

from __future__ import annotations

from typing import Iterator, Sequence

from ..files.text_table import counted
from .finding import Finding
from .source.facts import Call, Facts
from .source.norms import Norm, norm_of
from .source.tree import Tree, importers, reached
from .source.words import HARMLESS, is_of_keras

_TRAINING = ("minimize", "apply_gradients", "create_train_op", "optimize_loss")
# What names the variables to train in these, and its place.
_OF_SOME = {
    "minimize": ("var_list", 2),
    "compute_gradients": ("var_list", 1),
    "ScipyOptimizerInterface": ("var_list", 1),
    "create_train_op": ("variables_to_train", 4),
    "optimize_loss": ("variables", 9),
}


def trains(call: Call) -> bool:
    """Whether a call makes a train op."""
    return any(
        name.split(".")[-1] in _TRAINING and name.split(".")[0] not in HARMLESS
        for name in call.names
    )


def trains_some(group: Sequence[Facts]) -> bool:
    """Whether only chosen variables may be trained: the others may be frozen on purpose."""
    for call in (call for facts in group for call in facts.calls):
        last = call.names[0].split(".")[-1]
        if last in _OF_SOME and (call.is_open or call.argument(*_OF_SOME[last]) is not None):
            return True
        if last == "gradients" and call.names[0].startswith("tensorflow"):
            return True
    return False


def trained(tree: Tree) -> set[str]:
    """The files that a program which trains may use: some file imports both, or one the other."""
    trainers = [facts.path for facts in tree.files if any(map(trains, facts.calls))]
    return reached(reached(trainers, importers(tree.imported)), tree.imported)


def training_rules(tree: Tree) -> Iterator[Finding]:
    """What is wrong with `training`, by files that belong together."""
    used = trained(tree)
    for whole in tree.groups:
        group = [facts for facts in whole if facts.path in used]
        pairs = [(facts, norm) for facts in group for norm in map(norm_of, facts.calls) if norm]
        called = [(facts, norm) for facts, norm in pairs if norm.is_called]
        scoped = any(_is_scope_of_training(call) for each in group for call in each.calls)
        # What is behind it learns nothing.
        is_stopped = any("stop_gradient" in facts.loaded for facts in group)
        yield from _missing(called, is_stopped or trains_some(group))
        for facts in group:
            own = [norm for home, norm in called if home is facts]
            yield from _always_on(facts, own, scoped)
        yield from _always_off(called)


def _missing(called: Sequence[tuple[Facts, Norm]], is_some: bool) -> Iterator[Finding]:
    missing = [(facts, norm) for facts, norm in called if _leaves_out(norm)]
    for facts, norm in missing:
        where = (facts.path, norm.call.line, norm.call.column)
        said = "`training` is left out, which means False"
        if _is_of_keras(facts, norm):
            text = f"{said} unless a Keras model around the layer gives it; pass it on"
            yield Finding(*where, "BN102", text)
        elif len(missing) == len(called) and not is_some:
            text = (
                f"{said}: the moving statistics are used in training too, and stay 0 and 1; pass "
                "training=True, or a placeholder"
            )
            yield Finding(*where, "BN101", text)
        else:
            others = "the code trains" if is_some else "other calls give it"
            text = f"{said}, while {others}; write training=False if that is meant"
            yield Finding(*where, "BN102", text)


def _is_of_keras(facts: Facts, norm: Norm) -> bool:
    """Whether it may be a layer in a Keras model, which tells its layers whether it trains."""
    is_layer = norm.name.endswith("()")
    return is_layer and any(is_of_keras(name) for use in facts.uses for name in use.names)


def _leaves_out(norm: Norm) -> bool:
    return norm.library == "layers" and norm.leaves_out()


def _always_on(facts: Facts, called: Sequence[Norm], scoped: bool) -> Iterator[Finding]:
    # Both literals in one file are two phases; and an arg_scope may give another value.
    if any(norm.says(False) for norm in called):
        return
    on = [
        norm
        for norm in called
        if norm.says(True) and norm.call.is_straight and not (norm.training is None and scoped)
    ]
    if on:
        first = on[0]
        name = "training" if first.library == "layers" else "is_training"
        said = f"{name} is always True" if first.training else f"{name}, left out, is always True"
        more = f" (and in {counted(len(on) - 1, 'other call')})" if len(on) > 1 else ""
        text = f"{said} here{more}: evaluation through it uses the batch's statistics too"
        yield Finding(facts.path, first.call.line, first.call.column, "BN103", text)


def _always_off(called: Sequence[tuple[Facts, Norm]]) -> Iterator[Finding]:
    off = [(facts, norm) for facts, norm in called if norm.says(False)]
    if len(off) < len(called):
        return
    for facts, norm in off:
        if not _leaves_out(norm):
            text = (
                "training is False in each call of code that trains: right for frozen layers; "
                "otherwise the moving statistics never move"
            )
            yield Finding(facts.path, norm.call.line, norm.call.column, "BN104", text)


def _is_scope_of_training(call: Call) -> bool:
    """Whether it may give `is_training` to calls that leave it out."""
    is_scope = any(name.split(".")[-1] == "arg_scope" for name in call.names)
    return is_scope and (call.is_open or "is_training" in call.keywords)
