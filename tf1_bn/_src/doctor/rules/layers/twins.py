# SPDX-License-Identifier: Apache-2.0
"""Two layers, `bn` and `bn_1`, where one was meant to be called twice; a guess."""

from __future__ import annotations

import re
from typing import Iterator

from ....discovery.found import FoundLayer
from ....discovery.reading.nodes import View
from ....discovery.reading.tracing import VARIABLES
from ...facts.before import linear_before
from ...facts.case import Case, Step, affine_of, in_path, name_of, statistics_of
from ...facts.finding import Finding
from ...facts.reach import is_write, needed, written

_NUMBER = re.compile(r"_\d+(?=/|$)")
_MEND = "the same name and reuse=True (or tf.AUTO_REUSE) for both, if they were meant to be one"


def twins(case: Case) -> Iterator[Finding]:
    """BN312: behind the same weights, or a copy in inference that nothing has trained."""
    pairs = dict(_behind_same_weights(case))
    for first, second in pairs.items():
        yield Finding(
            "BN312",
            (first, second),
            "two layers of the same name but for a number, behind the same weights",
            "each has variables of its own, and sees a part of the examples alone",
            _MEND,
        )
    for first, second in _untrained_copies(case):
        if first not in pairs and second not in pairs.values():
            yield Finding(
                "BN312",
                (first, second),
                f"two layers of the same name but for a number: {first!r} is trained, and nothing "
                f"gives {second!r} what it learns",
                "what runs through the second one is normalized by 0 and 1, as in a new model",
                _MEND,
            )


def _plain(layer: FoundLayer) -> str:
    return _NUMBER.sub("", name_of(layer))


def _behind_same_weights(case: Case) -> Iterator[tuple[str, str]]:
    seen: dict[tuple[str, str], str] = {}
    for layer in case.found.layers:
        before = (linear_before(case.view, call) for call in layer.calls)
        for kernel in dict.fromkeys(each.kernel for each in before if each is not None):
            if kernel is None:
                continue
            first = seen.setdefault((kernel, _plain(layer)), name_of(layer))
            if first != name_of(layer):
                yield first, name_of(layer)


def _untrained_copies(case: Case) -> Iterator[tuple[str, str]]:
    step = case.step
    if step is None:
        return
    idle = [layer for layer in case.found.layers if _is_idle(step, layer)]
    copied = _written_from_variables(case.view) if idle else frozenset()
    trained: dict[str, str] = {}
    for layer in case.found.layers:
        if step.trained.intersection(affine_of(layer)) and layer not in idle:
            trained.setdefault(_plain(layer), name_of(layer))
    for layer in idle:
        first = trained.get(_plain(layer))
        if first is not None and not copied.intersection(affine_of(layer)):
            yield first, name_of(layer)


def _is_idle(step: Step, layer: FoundLayer) -> bool:
    """Whether a layer is in inference alone, of no use to the step, and not moved by it."""
    held = [*affine_of(layer), *statistics_of(layer)]
    return (
        bool(affine_of(layer))
        and all(call.phase == "inference" for call in layer.calls)
        and not step.moved.intersection(held)
        and not any(in_path(step, call) for call in layer.calls)
    )


def _written_from_variables(view: View) -> frozenset[str]:
    """What takes the numbers of other variables, as a target network does."""
    found = set()
    for node in view.nodes.values():
        if is_write(node) and len(node.inputs) > 1:
            behind = needed(view, [node.inputs[1][0]], most=50)
            if any(view.nodes[name].op in VARIABLES for name in behind):
                found.add(written(view, node))
    return frozenset(name for name in found if name is not None)
