# SPDX-License-Identifier: Apache-2.0
"""The points of the parity standard, each a function from a setting to rows and their causes."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Callable, List, Mapping, Tuple

import numpy as np

from ...runtime.tensorflow_v1 import tf
from ..report.report import DIFFERENT, Row, exact_row, number_row, skipped_row, still_row
from ..report.tolerances import tolerance
from .setting import (
    FAR,
    Failed,
    Pair,
    Setting,
    Why,
    built,
    compared,
    is_learned,
    more_row,
    outcome_text,
    phases,
)
from .side import PLACEHOLDER, Side, Values, random_input, random_state
from .structure_point import structure

Point = Callable[[Setting], Tuple[List[Row], List[Why]]]
FORMS = (True, False, 1, 0, None)


def _one_phase(training: bool, far: float, aspect: str, seed: int) -> Point:
    """A run of one phase from random state; `far` shifts the mean, by deviations."""

    def point(setting: Setting) -> tuple[list[Row], list[Why]]:
        pair = built(setting, phases(setting, training))
        if pair is None:
            return [], []
        try:
            x = random_input(setting.shape, seed, far)
            state = random_state(pair.reference.variables)
            ran = [side.run(x, training, state) for side in pair]
            return compared(setting, x, state, training, (ran[0], ran[1]), "", (aspect,))
        finally:
            pair.close()

    return point


def trajectory(setting: Setting) -> tuple[list[Row], list[Why]]:
    """The reference trains on; before each step its state is copied into the candidate."""
    pair = built(setting, phases(setting, True))
    if pair is None:
        return [], []
    rows: list[Row] = []
    causes: list[Why] = []
    try:
        state = random_state(pair.reference.variables)
        for step in range(setting.steps):
            x = random_input(setting.shape, 100 + step, FAR * np.sin(step))
            ran = [side.run(x, True, state) for side in pair]
            more, why = compared(setting, x, state, True, (ran[0], ran[1]), str(step + 1))
            rows, causes = rows + more, causes + why
            state = ran[0].after
    finally:
        pair.close()
    return rows, causes


def flag(setting: Setting) -> tuple[list[Row], list[Why]]:
    """`training` as a placeholder both ways, True, False, 1, 0 and None."""
    rows: list[Row] = []
    causes: list[Why] = []
    forms: list[tuple[Any, bool, str]] = [(form, bool(form), f"training={form}") for form in FORMS]
    if setting.dynamic:
        forms += [(PLACEHOLDER, fed, f"placeholder fed {fed}") for fed in (True, False)]
    for form, training, label in forms:
        try:
            more, why = _one_form(setting, form, training, label)
        except Failed as failed:
            more, why = [failed.row], []
        rows, causes = rows + more, causes + why
    return rows, causes


def _one_form(
    setting: Setting, form: Any, training: bool, label: str
) -> tuple[list[Row], list[Why]]:
    pair = built(setting, form)
    if pair is None:
        return [exact_row("both refuse", True, True, label)], []
    try:
        x = random_input(setting.shape, 7)
        state = random_state(pair.reference.variables)
        ran = [side.run(x, training, state) for side in pair]
        rows, causes = compared(setting, x, state, training, (ran[0], ran[1]), label)
        if not training:
            after = ran[1].after
            rows += [still_row(f"{k} is still", label, state[k], after.get(k)) for k in state]
        return rows, causes
    finally:
        pair.close()


def wiring(setting: Setting) -> tuple[list[Row], list[Why]]:
    """Every statistic moves in one training run, and none in an inference run."""
    rows = []
    for training in (True, False):
        pair = built(setting, phases(setting, training))
        if pair is None:
            continue
        label = "training run" if training else "inference run"
        try:
            x = random_input(setting.shape, 8, FAR)
            state = random_state(pair.reference.variables)
            moved = [_moved(side.run(x, training, state).after, state) for side in pair]
        finally:
            pair.close()
        statistics = sorted(name for name in state if not is_learned(name))
        rows.append(exact_row("variables moved by the reference", moved[0], moved[1], label))
        rows.append(exact_row("variables moved", statistics if training else [], moved[1], label))
    return rows, []


def _moved(after: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in after if name in before and np.any(after[name] != before[name]))


def batch_independence(setting: Setting) -> tuple[list[Row], list[Why]]:
    """In inference a row's output is the same whatever the other rows are."""
    pair = built(setting, phases(setting, False))
    if pair is None:
        return [], []
    try:
        state = random_state(pair.reference.variables)
        x = random_input(setting.shape, 9)
        other = random_input(setting.shape, 90, FAR)
        other[0] = x[0]
        rows = []
        for name, side in zip(("reference", "candidate"), pair):
            outputs = [side.run(inputs, False, state).output[0] for inputs in (x, other)]
            allowed = tolerance("output", setting.dtype)
            aspect = f"row 0 of the {name}"
            rows.append(number_row(aspect, "", outputs[0], outputs[1], allowed))
        return rows, []
    finally:
        pair.close()


def checkpoint(setting: Setting) -> tuple[list[Row], list[Why]]:
    """A checkpoint of either side restores into the other."""
    pair = built(setting, phases(setting, False))
    if pair is None:
        return [], []
    try:
        return [
            *_restored(pair.reference, pair.candidate, "reference to candidate"),
            *_restored(pair.candidate, pair.reference, "candidate to reference"),
        ], []
    finally:
        pair.close()


def _restored(source: Side, target: Side, label: str) -> list[Row]:
    state = random_state(source.variables)
    source.load(state)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        with source.graph.as_default():
            keys = {v.op.name: v for v in source.variables.values()}
            saver = tf.train.Saver(keys)
        saver.save(source.session, path, write_meta_graph=False)
        shared = [k for k in source.variables if k in target.variables]
        if not shared:
            return [Row("restored", label, DIFFERENT, "all variables", "none has such a name")]
        with target.graph.as_default():
            restorer = tf.train.Saver(
                {source.variables[k].op.name: target.variables[k] for k in shared}
            )
        restorer.restore(target.session, path)
    found = target.session.run(target.variables)
    return [still_row(name, label, state[name], found.get(name)) for name in state]


def edge_sizes(setting: Setting) -> tuple[list[Row], list[Why]]:
    """Batches of 0, 1 and 2 examples, in both phases."""
    rows: list[Row] = []
    causes: list[Why] = []
    for training in (True, False):
        pair = built(setting, phases(setting, training))
        if pair is None:
            continue
        try:
            state = random_state(pair.reference.variables)
            for size in (0, 1, 2):
                label = f"batch of {size}, {'training' if training else 'inference'}"
                more, why = _one_size(setting, pair, state, size, training, label)
                rows, causes = rows + more, causes + why
        finally:
            pair.close()
    return rows, causes


def _one_size(
    setting: Setting, pair: Pair, state: Mapping[str, Any], size: int, training: bool, label: str
) -> tuple[list[Row], list[Why]]:
    x = random_input((size, *setting.shape[1:]), 11)
    outcomes: list[Any] = []
    for side in pair:
        try:
            outcomes.append(side.run(x, training, state))
        except tf.errors.OpError as error:
            outcomes.append(error)
    failed = [isinstance(outcome, Exception) for outcome in outcomes]
    if all(failed):
        return [exact_row("both fail", True, True, label)], []
    if failed[0]:
        return [more_row("run", label, outcomes)], []
    if failed[1]:
        expected, actual = map(outcome_text, outcomes)
        return [Row("run", label, DIFFERENT, expected, actual)], []
    aspects = ("output", "state")
    if size == 0 and _lost(outcomes[0]) and not _lost(outcomes[1]):
        why = "the reference makes the statistics of an empty batch NaN, the candidate does not"
        ran = (outcomes[0], outcomes[1])
        rows, causes = compared(setting, x, state, training, ran, label, ("output",))
        return [*rows, skipped_row("statistics", why, label)], causes
    return compared(setting, x, state, training, (outcomes[0], outcomes[1]), label, aspects)


def _lost(values: Values) -> bool:
    return any(np.isnan(np.asarray(v, "float64")).any() for v in values.after.values())


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
