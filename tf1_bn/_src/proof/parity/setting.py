# SPDX-License-Identifier: Apache-2.0
"""What the points of the parity standard share: both sides built, and compared."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple

import numpy as np

from ..causes import GRADIENTS_ONLY, Observation, likely_cause
from ..norms import norm_from
from ..recording.model import Norm, scales
from ..replay import weights_for
from ..report.report import DIFFERENT, SAME, Row, Section, exact_row, number_row, skipped_row
from ..report.tolerances import tolerance
from .side import PLACEHOLDER, Side, Values, build_side

# Three standard deviations, about: far from 0 and not so far that nothing else is tested.
FAR = 3.0
_MOST_EXPLAINED = 3
Why = Callable[[], str]
GRADIENTS_DIFFER = "gradients differ: if all else agrees, " + GRADIENTS_ONLY.split(": ")[1]


class Setting(NamedTuple):
    """What is compared, and how; see `assert_parity`."""

    reference: Callable[..., Any]
    candidate: Callable[..., Any]
    shape: tuple[int, ...]
    dtype: str
    names: dict[str, str]
    structure: bool
    dynamic: bool
    config: dict[str, Any]
    steps: int


class Pair(NamedTuple):
    reference: Side
    candidate: Side

    def close(self) -> None:
        self.reference.close()
        self.candidate.close()


class Failed(Exception):
    """One side raised where the other did not; `row` tells."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.actual)
        self.row = row


def built(setting: Setting, training: Any) -> Pair | None:
    """Both sides, or None where both refuse."""
    sides: list[Any] = []
    for build, rename in (
        (setting.reference, rename_reference(setting)),
        (setting.candidate, rename_candidate(setting)),
    ):
        sizes = [None, *setting.shape[1:]]
        try:
            sides.append(build_side(build, sizes, setting.dtype, training, rename))
        except Exception as error:
            sides.append(error)
    failed = [isinstance(side, Exception) for side in sides]
    if all(failed):
        return None
    if failed[0]:
        raise Failed(more_row("build", f"training={training}", sides))
    if failed[1]:
        expected, actual = map(outcome_text, sides)
        raise Failed(Row("build", f"training={training}", DIFFERENT, expected, actual))
    return Pair(*sides)


def more_row(aspect: str, label: str, outcomes: list[Any]) -> Row:
    """No difference: what the reference refuses, no working program does."""
    why = f"the reference refuses, the candidate does not ({outcome_text(outcomes[0])})"
    return skipped_row(aspect, why, label)


def outcome_text(side: Any) -> str:
    if not isinstance(side, Exception):
        return "no error"
    lines = str(side).splitlines() or [""]
    return f"{type(side).__name__}: {lines[0][:200]}"


def rename_reference(setting: Setting) -> Callable[[str], str]:
    return lambda name: name if setting.structure or name in setting.names else last(name)


def rename_candidate(setting: Setting) -> Callable[[str], str]:
    back = {theirs: ours for ours, theirs in setting.names.items()}
    return lambda name: back.get(name, name if setting.structure else last(name))


def last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def section(
    name: str, point: Callable[[Setting], tuple[list[Row], list[Why]]], setting: Setting
) -> Section:
    """The report's section `name`, made by a point of the standard."""
    try:
        rows, whys = point(setting)
    except Failed as failed:
        rows, whys = [failed.row], []
    named: list[str] = []
    tried = 0
    for why in whys:
        # Mistakes are tried out one by one, and a step that shows one shows it as well as the next.
        if tried < _MOST_EXPLAINED:
            cause = why()
            tried += 1
            named += [cause] if cause and cause not in named else []
    return Section(name, rows or [exact_row("both refuse", True, True)], named, [])


def phases(setting: Setting, training: bool) -> Any:
    return PLACEHOLDER if setting.dynamic else training


def compared(
    setting: Setting,
    x: Any,
    state: Mapping[str, Any],
    training: bool,
    pair: tuple[Values, Values],
    label: str,
    aspects: tuple[str, ...] = ("output", "state"),
) -> tuple[list[Row], list[Why]]:
    """Rows for the wanted aspects of one run of both sides, and the cause of a difference."""
    theirs, ours = pair
    norm = _norm(setting, x)
    plain = {last(name): value for name, value in state.items()}
    size: Mapping[str, Any] = {}
    if norm is not None and {"moving_mean", "moving_variance"} <= set(plain):
        size = scales(norm, x, plain, training, weights_for(np.shape(x)))
    rows = []

    def row(aspect: str, quantity: str, expected: Any, actual: Any, scale: str) -> None:
        allowed = tolerance(quantity, setting.dtype)
        rows.append(number_row(aspect, label, expected, actual, allowed, size.get(scale)))

    if "output" in aspects:
        row("output", "output", theirs.output, ours.output, "output")
    if "gradients" in aspects:
        for name, expected in theirs.gradients.items():
            words = name.split(" ")
            key = " ".join([*words[:-1], last(words[-1])])
            row(name, "gradient", expected, ours.gradients.get(name), key)
    statistics = [name for name in theirs.after if not is_learned(name)]
    if "state" in aspects:
        for name in statistics:
            row(name, "state", theirs.after[name], ours.after.get(name), last(name))
    if all(r.verdict == SAME for r in rows):
        return rows, []
    if aspects == ("gradients",):
        return rows, [lambda: GRADIENTS_DIFFER]
    if norm is None or "moving_mean" not in plain:
        return rows, []

    def observed(side: Values) -> Observation:
        after = {last(k): side.after[k] for k in statistics if k in side.after}
        wanted = after if "state" in aspects else {}
        return Observation(norm, x, plain, training, side.output, wanted, setting.dtype)

    return rows, [lambda: likely_cause(observed(theirs), observed(ours))]


def is_learned(name: str) -> bool:
    return last(name) in ("gamma", "beta")


def _norm(setting: Setting, x: Any) -> Norm | None:
    """The arithmetic both sides stand for; None where nothing is known of it."""
    if np.size(x) == 0:
        return None
    try:
        return norm_from(setting.config, np.shape(x), setting.dtype)
    except (TypeError, ValueError):
        return None
