# SPDX-License-Identifier: Apache-2.0
"""Findings of what became of a layer in a program: which code, why, and what mends it."""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

from ...files.text_table import printable
from ...programs.watching import layer_states as states
from ...programs.watching.graphs import Watched
from ..facts.finding import Finding

_COLLECT = "with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):"
_MINIMIZE = f"train_op = tf1_bn.minimize(optimizer, loss), or make it inside of `{_COLLECT}`"
_STAY = "the moving statistics stay as they are, and inference normalizes by them, 0 and 1"
_ONLY = (
    "that is right only if nothing ever normalizes by the moving statistics: this program neither "
    "reads nor saves them"
)
_PHASE = "training=True, or a tensor that is True in training"
# By state: the code, what is wrong, and what mends it.
_CAUSES: Mapping[str, tuple[str, str, str]] = {
    states.NEVER_COLLECTED: (
        "BN110",
        "the updates did not run: the program never collected tf.GraphKeys.UPDATE_OPS",
        _MINIMIZE,
    ),
    states.COLLECTED_EARLY: (
        "BN112",
        "the updates did not run: tf.GraphKeys.UPDATE_OPS was collected before the layer was built",
        f"collect it after the model is built: {_MINIMIZE}",
    ),
    states.LEFT_OUT: (
        "BN110",
        "the updates did not run: tf.GraphKeys.UPDATE_OPS was collected, but without them",
        "look at the scope that it is collected with, or leave it out",
    ),
    states.NOT_FETCHED: (
        "BN110",
        "the updates did not run: tf.GraphKeys.UPDATE_OPS was collected, but no session run "
        "fetched anything that depends on the updates",
        _MINIMIZE,
    ),
    states.NOT_RUN: (
        "BN110",
        "the updates did not run: no session run fetched anything that depends on them",
        _MINIMIZE,
    ),
}


def findings_of(layers: Iterable[Watched]) -> list[Finding]:
    """A finding for each mistake, with all layers that have it, of layers of one graph."""
    layers = list(layers)
    trains_others = any(each.state in (states.MOVED, states.FLAG_FALSE) for each in layers)
    groups: dict[Finding, list[Watched]] = {}
    for layer in layers:
        finding = _finding(layer, trains_others)
        if finding is not None:
            groups.setdefault(finding, []).append(layer)
    return [_of(each, members) for each, members in groups.items()]


def _of(finding: Finding, layers: Sequence[Watched]) -> Finding:
    """A finding with the layers that have it."""
    wrong = finding.wrong
    if layers[0].state == states.LEFT_OUT and layers[0].outside:
        update, *scopes = layers[0].outside
        asked = " and ".join(printable(repr(scope)) for scope in scopes)
        wrong += f", of {asked} alone, and {printable(repr(update))} is outside"
    return finding._replace(layers=tuple(dict.fromkeys(each.name for each in layers)), wrong=wrong)


def _finding(layer: Watched, trains_others: bool) -> Finding | None:
    """The finding of one layer, without its name; None where there is nothing to say."""
    if layer.state == states.IDLE:
        wrong = "trained through, but called with `training` False or left out" + (
            ", unlike others" if trains_others else ""
        )
        follows = "there are no updates, and it normalized with averages that never moved"
        return Finding("BN102" if trains_others else "BN101", (), wrong, follows, _PHASE)
    if layer.state == states.FLAG_FALSE:
        flag = printable(layer.flag)
        wrong = f"{flag} was False in every session run"
        follows = "the updates ran and moved nothing, and training normalized by 0 and 1"
        return Finding("BN105", (), wrong, follows, f"feed True for {flag} in training")
    if layer.state not in _CAUSES:
        return None
    code, wrong, mend = _CAUSES[layer.state]
    if not layer.is_wanted:
        return Finding("BN301", (), wrong, _ONLY, mend)
    return Finding(code, (), wrong, _STAY, mend)
