# SPDX-License-Identifier: Apache-2.0
"""The points of the parity standard, each a function from a setting to rows and their causes."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Callable, List, Mapping, Sequence, Tuple

import numpy as np

from ...runtime.tensorflow_v1 import tf
from ..replay import PLACEHOLDER, Built, Ran
from ..report.rows import DIFFERENT, Row, exact_row, number_row, skipped_row, still_row
from ..report.tolerances import tolerance
from .setting import (
    FAR,
    Setting,
    Why,
    both_built,
    compared,
    is_learned,
    random_input,
    random_state,
    refusals,
)
from .structure_point import structure

Found = Tuple[List[Row], List[Why]]
Point = Callable[[Setting], Found]
FORMS = (True, False, 1, 0, None)


def _one_phase(training: bool, far: float, aspect: str, seed: int) -> Point:
    """A run of one phase from random state; `far` shifts the mean, by deviations."""

    def point(setting: Setting) -> Found:
        sides, refused = both_built(setting, setting.flag(training))
        if refused:
            return refused, []
        x, state = random_input(setting.shape, seed, far), random_state(sides[0].variables)
        ran = [side.run(x, training, state) for side in sides]
        return compared(setting, x, state, training, ran, "", (aspect,))

    return point


def trajectory(setting: Setting) -> Found:
    """The reference trains on; before each step its state is copied into the candidate."""
    rows: list[Row] = []
    causes: list[Why] = []
    sides, refused = both_built(setting, setting.flag(True))
    if refused:
        return refused, []
    state = random_state(sides[0].variables)
    for step in range(setting.steps):
        x = random_input(setting.shape, 100 + step, FAR * np.sin(step))
        ran = [side.run(x, True, state) for side in sides]
        more, why = compared(setting, x, state, True, ran, str(step + 1))
        rows, causes = rows + more, causes + why
        state = ran[0].after
    return rows, causes


def flag(setting: Setting) -> Found:
    """`training` as a placeholder both ways, True, False, 1, 0 and None."""
    rows: list[Row] = []
    causes: list[Why] = []
    forms: list[tuple[Any, bool, str]] = [(form, bool(form), f"training={form}") for form in FORMS]
    if setting.dynamic:
        forms += [(PLACEHOLDER, fed, f"placeholder fed {fed}") for fed in (True, False)]
    for form, training, label in forms:
        more, why = _one_form(setting, form, training, label)
        rows, causes = rows + more, causes + why
    return rows, causes


def _one_form(setting: Setting, form: Any, training: bool, label: str) -> Found:
    sides, refused = both_built(setting, form)
    if refused:
        return refused, []
    x, state = random_input(setting.shape, 7), random_state(sides[0].variables)
    ran = [side.run(x, training, state) for side in sides]
    rows, causes = compared(setting, x, state, training, ran, label)
    if not training:
        after = ran[1].after
        rows += [still_row(f"{k} is still", label, state[k], after.get(k)) for k in state]
    return rows, causes


def wiring(setting: Setting) -> Found:
    """Every statistic moves in one training run, and none in an inference run."""
    rows: list[Row] = []
    for training in (True, False):
        sides, refused = both_built(setting, setting.flag(training))
        rows += refused
        if refused:
            continue
        x, state = random_input(setting.shape, 8, FAR), random_state(sides[0].variables)
        moved = [_moved(side.run(x, training, state).after, state) for side in sides]
        label = "training run" if training else "inference run"
        statistics = sorted(name for name in state if not is_learned(name))
        rows.append(exact_row("variables moved by the reference", moved[0], moved[1], label))
        rows.append(exact_row("variables moved", statistics if training else [], moved[1], label))
    return rows, []


def _moved(after: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in after if name in before and np.any(after[name] != before[name]))


def batch_independence(setting: Setting) -> Found:
    """In inference a row's output is the same whatever the other rows are."""
    sides, refused = both_built(setting, setting.flag(False))
    rows = list(refused)
    for name, side in zip(("reference", "candidate"), sides):
        state = random_state(sides[0].variables)
        x, other = random_input(setting.shape, 9), random_input(setting.shape, 90, FAR)
        other[0] = x[0]
        outputs = [side.run(inputs, False, state).output[0] for inputs in (x, other)]
        allowed = tolerance("output", setting.dtype)
        rows.append(number_row(f"row 0 of the {name}", "", outputs[0], outputs[1], allowed))
    return rows, []


def checkpoint(setting: Setting) -> Found:
    """A checkpoint of either side restores into the other."""
    sides, refused = both_built(setting, setting.flag(False))
    if refused:
        return refused, []
    reference, candidate = sides
    return [
        *_restored(reference, candidate, "reference to candidate"),
        *_restored(candidate, reference, "candidate to reference"),
    ], []


def _restored(source: Built, target: Built, label: str) -> list[Row]:
    state = random_state(source.variables)
    source.load(state)
    shared = [k for k in source.variables if k in target.variables]
    if not shared:
        return [Row("restored", label, DIFFERENT, "all variables", "none has such a name")]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        with source.session.graph.as_default():
            saver = tf.train.Saver({v.op.name: v for v in source.variables.values()})
        saver.save(source.session, path, write_meta_graph=False)
        with target.session.graph.as_default():
            saver = tf.train.Saver(
                {source.variables[k].op.name: target.variables[k] for k in shared}
            )
        saver.restore(target.session, path)
    found = target.session.run(target.variables)
    return [still_row(name, label, state[name], found.get(name)) for name in state]


def edge_sizes(setting: Setting) -> Found:
    """Batches of 0, 1 and 2 examples, in both phases."""
    rows: list[Row] = []
    causes: list[Why] = []
    for training in (True, False):
        sides, refused = both_built(setting, setting.flag(training))
        rows += refused
        for size in (0, 1, 2) if sides else ():
            more, why = _one_size(setting, sides, size, training)
            rows, causes = rows + more, causes + why
    return rows, causes


def _one_size(setting: Setting, sides: Sequence[Built], size: int, training: bool) -> Found:
    x, state = random_input((size, *setting.shape[1:]), 11), random_state(sides[0].variables)
    label = f"batch of {size}, {'training' if training else 'inference'}"
    outcomes: list[Any] = []
    for side in sides:
        try:
            outcomes.append(side.run(x, training, state))
        except tf.errors.OpError as error:
            outcomes.append(error)
    refused = refusals("run", label, outcomes)
    if refused:
        return refused, []
    if size == 0 and _lost(outcomes[0]) and not _lost(outcomes[1]):
        why = "the reference makes the statistics of an empty batch NaN, the candidate does not"
        rows, causes = compared(setting, x, state, training, outcomes, label, ("output",))
        return [*rows, skipped_row("statistics", why, label)], causes
    return compared(setting, x, state, training, outcomes, label)


def _lost(ran: Ran) -> bool:
    return any(np.isnan(np.asarray(v, "float64")).any() for v in ran.after.values())


POINTS: Mapping[str, Point] = {
    "1 structure": structure,
    "2 inference from distinct state": _one_phase(False, 0.0, "output", 2),
    "3 training forward, mean far from 0": _one_phase(True, FAR, "output", 3),
    "4 gradients": _one_phase(True, 0.0, "gradients", 4),
    "5 state after one step": _one_phase(True, FAR, "state", 5),
    "6 teacher-forced trajectory": trajectory,
    "7 training flag": flag,
    "8 wiring": wiring,
    "9 batch independence of inference": batch_independence,
    "10 checkpoint round trip": checkpoint,
    "11 edge sizes": edge_sizes,
}
