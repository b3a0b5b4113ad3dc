# SPDX-License-Identifier: Apache-2.0
"""What the points of the parity standard share: inputs, and both sides built and compared."""

from __future__ import annotations

import contextlib
import functools
import zlib
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ...runtime.tensorflow_v1 import Variable
from ..causes import GRADIENTS_ONLY, Observation, likely_cause
from ..norms import norm_from
from ..recording.model import LEARNED, Norm
from ..recording.scales import scales
from ..replay import PLACEHOLDER, Built, Ran, build, weights_for
from ..report.rows import SAME, Row, error_text, exact_row, number_row, raised_row, skipped_row
from ..report.tolerances import tolerance

# Three standard deviations, about: far from 0 and not so far that nothing else is tested.
FAR = 3.0
# Finds the cause of a difference, which takes long: only a few are asked.
Why = Callable[[], str]
GRADIENTS_DIFFER = "gradients differ: if all else agrees, " + GRADIENTS_ONLY.split(": ")[1]


class Setting(NamedTuple):
    """What is compared, and how; see `check_parity`.

    outcomes: of `built_once`; for a form of the flag what each side is built to, or raises.
    """

    reference: Callable[..., Any]
    candidate: Callable[..., Any]
    shape: tuple[int, ...]
    dtype: str
    names: dict[str, str]
    structure: bool
    dynamic: bool
    config: dict[str, Any]
    steps: int
    outcomes: Callable[[Any], Sequence[Any]]

    def sides(self) -> list[tuple[Callable[..., Any], Callable[[str], str]]]:
        """Both build functions, each with what turns its variables' names into common ones."""
        back = {theirs: ours for ours, theirs in self.names.items()}

        def plain(name: str) -> str:
            return name if self.structure else last(name)

        return [
            (self.reference, lambda name: name if name in self.names else plain(name)),
            (self.candidate, lambda name: back.get(name, plain(name))),
        ]

    def flag(self, training: bool) -> Any:
        """What both are given for `training`: a placeholder, where both take one."""
        return PLACEHOLDER if self.dynamic else training


def last(name: str) -> str:
    """Returns the last part of a variable's name.

    >>> last("tower/bn/gamma")
    'gamma'
    """
    return name.rsplit("/", 1)[-1]


def is_learned(name: str) -> bool:
    """Whether a variable of this name is gamma or beta."""
    return last(name) in LEARNED


@contextlib.contextmanager
def built_once(setting: Setting) -> Iterator[Setting]:
    """The setting for all points, each side built once for each form of the flag.

    A graph takes most of a point's time; the sessions end with the block.
    """
    with contextlib.ExitStack() as opened:

        def side(function: Callable[..., Any], rename: Callable[[str], str], training: Any) -> Any:
            try:
                built = _built(setting, function, rename, training)
            except Exception as error:
                return error
            opened.callback(built.session.close)
            return built

        # Of True and 1 each has a graph of its own.
        @functools.lru_cache(maxsize=None, typed=True)
        def outcomes(training: Any) -> list[Any]:
            return [side(*each, training) for each in setting.sides()]

        yield setting._replace(outcomes=outcomes)


def both_built(setting: Setting, training: Any) -> tuple[list[Built], list[Row]]:
    """Returns both sides as if just built, the reference first.

    If one refuses, no side and the row that says so.
    """
    sides = setting.outcomes(training)
    refused = refusals("build", f"training={training}", sides)
    if refused:
        return [], refused
    for side in sides:
        side.session.run(side.initialize)
    return list(sides), []


def _built(
    setting: Setting, function: Callable[..., Any], rename: Callable[[str], str], training: Any
) -> Built:
    def named(variable: Variable) -> str:
        return rename(variable.op.name)

    sizes = [None, *setting.shape[1:]]
    return build(lambda x, phase, _: function(x, phase), sizes, setting.dtype, training, named)


def refusals(aspect: str, label: str, outcomes: Sequence[Any]) -> list[Row]:
    """Returns a row if one or both outcomes are exceptions, else none; the reference's is first."""
    theirs, ours = (outcome if isinstance(outcome, Exception) else None for outcome in outcomes)
    if theirs is not None and ours is not None:
        return [exact_row("both fail" if aspect == "run" else "both refuse", True, True, label)]
    if ours is not None:
        return [raised_row(aspect, label, ours)]
    if theirs is not None:
        # No difference: what the reference refuses, no working program does.
        why = f"the reference refuses, the candidate does not ({error_text(theirs)})"
        return [skipped_row(aspect, why, label)]
    return []


def compared(
    setting: Setting,
    x: Any,
    state: Mapping[str, Any],
    training: bool,
    ran: Sequence[Ran],
    label: str = "",
    aspects: Sequence[str] = ("output", "state"),
) -> tuple[list[Row], list[Why]]:
    """Compares one run of both sides.

    Args:
      setting: what is compared.
      x: the input of both.
      state: of the variables before the run, by the reference's names.
      training: the phase.
      ran: what the run gave, the reference's first.
      label: of the rows.
      aspects: which of "output", "gradients" and "state" are compared.

    Returns:
      The rows, and what finds the cause of a difference, if there is one.
    """
    theirs, ours = ran
    norm = _norm(setting, x)
    plain = {last(name): value for name, value in state.items()}
    size: Mapping[str, Any] = {}
    if norm is not None and {"moving_mean", "moving_variance"} <= set(plain):
        size = scales(norm, x, plain, training, weights_for(np.shape(x)))
    statistics = [name for name in theirs.after if not is_learned(name)]
    rows = []

    def row(name: str, quantity: str, expected: Any, actual: Any) -> None:
        # A gradient's name ends in the variable's.
        of, space, variable = name.rpartition(" ")
        scale = size.get(f"{of}{space}{last(variable)}")
        allowed = tolerance(quantity, setting.dtype)
        rows.append(number_row(name, label, expected, actual, allowed, scale))

    if "output" in aspects:
        row("output", "output", theirs.output, ours.output)
    if "gradients" in aspects:
        for name, expected in theirs.gradients.items():
            row(name, "gradient", expected, ours.gradients.get(name))
    if "state" in aspects:
        for name in statistics:
            row(name, "state", theirs.after[name], ours.after.get(name))
    if all(r.verdict == SAME for r in rows):
        return rows, []
    if aspects == ("gradients",):
        return rows, [lambda: GRADIENTS_DIFFER]
    if norm is None or "moving_mean" not in plain:
        return rows, []

    def observed(side: Ran) -> Observation:
        after = {last(k): side.after[k] for k in statistics if k in side.after}
        wanted = after if "state" in aspects else {}
        return Observation(norm, x, plain, training, side.output, wanted, setting.dtype)

    return rows, [lambda: likely_cause(observed(theirs), observed(ours))]


def _norm(setting: Setting, x: Any) -> Norm | None:
    """The arithmetic both sides stand for; None where nothing is known of it."""
    if np.size(x) == 0:
        return None
    try:
        return norm_from(setting.config, np.shape(x), setting.dtype)
    except (TypeError, ValueError):
        return None


# -- numbers -------------------------------------------------------------------------------------


def random_state(variables: Mapping[str, Variable]) -> dict[str, Any]:
    """Returns a value of its own for each variable; variances and deviations are positive."""
    return {name: _value_for(last(name), variable) for name, variable in variables.items()}


def _value_for(name: str, variable: Variable) -> Any:
    positive = "var" in name or "std" in name or "gamma" in name or name == "scale"
    low, high = (0.5, 1.75) if positive else (-1.0, 1.0)
    values = _uniform(f"state {name}", variable.shape.as_list(), low, high)
    return values.astype(variable.dtype.base_dtype.as_numpy_dtype)


def random_input(shape: Sequence[int], seed: int, far: float = 0.0) -> Any:
    """Returns noise whose centre and width differ along every axis, the centres moved by `far`."""
    values = _uniform(f"input {tuple(shape)} {seed}", shape, -1.0, 1.0)
    for axis, size in enumerate(shape):
        along = np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        values = values * (1.0 + 0.125 * along) + 0.1875 * (along - 0.5 * axis)
    return values + far


def _uniform(seed: str, shape: Sequence[int], low: float, high: float) -> Any:
    random = np.random.RandomState(zlib.crc32(seed.encode("utf-8")) & 0x7FFFFFFF)
    # On a grid that every dtype holds.
    return np.round((low + (high - low) * random.random_sample(tuple(shape))) * 64.0) / 64.0
