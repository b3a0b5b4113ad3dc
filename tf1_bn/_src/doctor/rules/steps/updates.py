# SPDX-License-Identifier: Apache-2.0
"""Updates that a step does not run: forgotten, collected too early, or out of everybody's reach."""

from __future__ import annotations

from os.path import commonprefix
from typing import Iterator, NamedTuple

from ....discovery.found import FoundLayer, FoundUpdate
from ...facts.case import Case, Step, affine_of, in_path, is_read, name_of, names_of
from ...facts.finding import Finding
from ...facts.gradients import scope_of

_FOLLOWS = "the moving statistics stay as they are, and inference normalizes by them, 0 and 1"
_ESCAPES = ("Merge", "RefMerge", "Exit", "RefExit", "_If", "_Loop")
_READ = "ReadVariableOp"
_MINIMIZE = "train_op = tf1_bn.minimize(optimizer, loss)"
_AROUND = (
    "with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)): "
    "train_op = optimizer.minimize(loss), behind all layers"
)
_KERAS = "Keras keeps them in the layer: run layer.updates, or model.updates, with the train op"
_NOWHERE = f"run them with the train op; {_KERAS}"
_BRANCH = (
    'with tf1_bn.updates("in_place"): around the layer; or call the layer outside of the '
    "conditional or loop and give it the bool: training=is_training"
)


class _Missing(NamedTuple):
    """A layer, those of its updates that nothing runs in the step, and what would run them."""

    layer: FoundLayer
    updates: tuple[FoundUpdate, ...]
    mend: str


def unreached_updates(case: Case) -> Iterator[Finding]:
    """BN110, BN112, BN301, BN302, BN311: trained layers whose statistics a step does not move."""
    step = case.step
    if step is None:
        return
    missing = [each for each in (_missing(step, layer) for layer in case.found.layers) if each]
    after = _readers_by_name(case) if missing else {}
    kinds: dict[str, list[_Missing]] = {}
    for each in missing:
        behind = [name for update in each.updates for name in _behind(update.op, after)]
        code = _kind(case, step, each, behind)
        if case.collected is not None and not case.collected.intersection([*behind, *_ops(each)]):
            each = each._replace(mend=_NOWHERE)
            code = "BN311" if code == "BN110" else code
        kinds.setdefault(code, []).append(each)
    forgotten = kinds.get("BN110", [])
    early = _collected_early(case, step, forgotten)
    if early is not None:
        kinds["BN112"] = kinds.pop("BN110")
    for code, group in kinds.items():
        yield from _findings(code, group, early, _common_scope(case, step, group))


def _missing(step: Step, layer: FoundLayer) -> _Missing | None:
    affine = affine_of(layer)
    if affine and not step.trained.intersection(affine):
        return None
    updates = [
        update
        for call in layer.calls
        if call.phase != "inference" and in_path(step, call)
        for update in call.updates
    ]
    # One call of several is enough, as of the first tower.
    left = tuple(each for each in updates if each.variable not in step.moved)
    return _Missing(layer, left, _mend(layer)) if left else None


def _ops(missing: _Missing) -> list[str]:
    return [update.op for update in missing.updates]


def _kind(case: Case, step: Step, missing: _Missing, behind: list[str]) -> str:
    layer, updates, _ = missing
    if all(update.inside for update in updates) and not any(
        case.view.nodes[name].op in _ESCAPES for name in behind
    ):
        return "BN302"
    if not step.given or not affine_of(layer) or not is_read(layer):
        return "BN301"
    own = tuple(f"{scope}/" for scope in map(scope_of, layer.calls) if scope)
    # Somebody made what is behind an update and none of the layer's, to run it; a read comes along.
    ops = {name: case.view.nodes[name].op for name in behind}
    runs = (op == "NoOp" or not name.startswith(own) for name, op in ops.items() if op != _READ)
    return "BN301" if any(runs) else "BN110"


def _readers_by_name(case: Case) -> dict[str, list[str]]:
    """Who reads a node or waits for it."""
    after: dict[str, list[str]] = {}
    for node in case.view.nodes.values():
        for name in dict.fromkeys([*(each[0] for each in node.inputs), *node.controls]):
            after.setdefault(name, []).append(node.name)
    return after


def _behind(name: str, after: dict[str, list[str]]) -> list[str]:
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        for reader in after.get(waiting.pop(), ()):
            if reader not in found:
                found[reader] = None
                waiting.append(reader)
    return list(found)


def _collected_early(case: Case, step: Step, forgotten: list[_Missing]) -> str | None:
    """The last layer that was collected, if all that are forgotten were built behind it."""
    ran = [
        (case.view.places[update.op], name_of(layer))
        for layer in case.found.layers
        for call in layer.calls
        for update in call.updates
        if update.op in step.runs
    ]
    if not ran or not forgotten:
        return None
    place, last = max(ran)
    first = min(case.view.places[update.op] for each in forgotten for update in each.updates)
    return last if place < first else None


def _common_scope(case: Case, step: Step, forgotten: list[_Missing]) -> str:
    """The scope of all layers whose updates run and of none that is forgotten; "" for none."""
    ran = [
        scope_of(call).rpartition("/")[0] + "/"
        for layer in case.found.layers
        for call in layer.calls
        if any(update.op in step.runs for update in call.updates)
    ]
    scope = commonprefix(ran).rpartition("/")[0]
    names = [name for each in forgotten for name in _ops(each)]
    return "" if any(name.startswith(f"{scope}/") for name in names) else scope


def _findings(code: str, group: list[_Missing], early: str | None, scope: str) -> Iterator[Finding]:
    only = f"; those that it runs are all in the scope {scope!r}" if scope else ""
    whole = ", with a scope that holds these layers or without one" if scope else ""
    libraries: dict[str, list[FoundLayer]] = {}
    for each in group:
        libraries.setdefault(each.mend, []).append(each.layer)
    for mend, layers in libraries.items():
        names = names_of(layers)
        if code == "BN112":
            wrong = f"built behind {early!r}, the last layer whose update ops the train op runs"
            collect = f"collect them last{whole}: {mend}"
            yield Finding(code, names, wrong + only, _FOLLOWS, collect)
        elif code == "BN302":
            wrong = "the update ops stand in a conditional or a loop, and nothing outside runs them"
            yield Finding(code, names, wrong, _FOLLOWS, _BRANCH)
        elif code == "BN311":
            wrong = "trained, and its update ops, which are in no collection, do not run"
            yield Finding(code, names, wrong, _FOLLOWS, mend)
        elif code == "BN110":
            wrong = "trained, and the train op does not run the update ops"
            collect = f"collect them{whole}: {mend}" if whole else mend
            yield Finding(code, names, wrong + only, _FOLLOWS, collect)
        else:
            wrong = f"the train op does not run the update ops{only}"
            follows = (
                "that is right only if a step fetches them beside it (name all that it fetches: "
                "train_op=[...]), or if nothing ever normalizes by the moving statistics"
            )
            yield Finding(code, names, wrong, follows, mend)


def _mend(layer: FoundLayer) -> str:
    return {"tf1_bn": _MINIMIZE, "Keras": _KERAS}.get(layer.library, _AROUND)
