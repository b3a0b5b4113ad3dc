# SPDX-License-Identifier: Apache-2.0
"""When enough is recorded: of one call, and of all, so that the program may be stopped."""

from __future__ import annotations

from typing import Callable, NamedTuple

from ...files.streams import say
from ...files.text_table import counted
from .seen import Seen

# So many runs in a row that bring nothing new, and it is time to say what is waited for.
_PATIENCE = 10
_MOST_NAMED = 3


class Limits(NamedTuple):
    """How much is recorded.

    steps: training runs a call. sample_bytes: of an input, above which only some channels are
    kept. total_bytes: of all arrays, above which no further step is recorded.
    """

    steps: int = 3
    sample_bytes: int = 2**18
    total_bytes: int = 2**26


class Stop(BaseException):
    """Ends the program: everything is recorded."""


def lacks(seen: Seen, training: bool, updates: int, limits: Limits) -> bool:
    """Whether one more run of this phase, with so many updates, is to be kept."""
    kept = [step for step in seen.steps if step.training == training]
    if training and updates:
        return sum(step.updates_run > 0 for step in kept) < limits.steps
    return len(kept) < min(1, limits.steps)


def phases(seen: Seen) -> list[bool]:
    """Which phases a run of the call may be in: True for training."""
    return {"training": [True], "inference": [False]}.get(seen.phase, [True, False])


def stopper(calls: list[Seen], limits: Limits) -> Callable[[], None]:
    """Returns what is called after each run that used a call, to stop the program in time.

    It raises Stop once the training steps of every call are in; if no call trains, once each has
    its inference step. A phase that is a placeholder is not waited for: a program that trains may
    never get to its inference. What is waited for when runs bring nothing new is said once.
    """
    steps_before = idle = 0
    told = ""

    def check() -> None:
        nonlocal steps_before, idle, told
        waiting, steps = _waited_for(calls, limits), sum(len(seen.steps) for seen in calls)
        if steps and not waiting:
            raise Stop
        idle = idle + 1 if steps == steps_before else 0
        steps_before = steps
        text = _named(waiting, limits)
        if waiting and idle >= _PATIENCE and text != told:
            told = text
            say(f"not stopped yet, waiting for {text}")

    return check


def _waited_for(calls: list[Seen], limits: Limits) -> list[Seen]:
    able = [seen for seen in calls if seen.can_run and not seen.is_full]
    trained = [seen for seen in able if True in phases(seen)]
    return [seen for seen in trained or able if lacks(seen, bool(trained), _updates(seen), limits)]


def _updates(seen: Seen) -> int:
    return len(seen.updates) + seen.in_place


def _named(waiting: list[Seen], limits: Limits) -> str:
    listed = [f"{seen.name} ({_reason(seen, limits)})" for seen in waiting[:_MOST_NAMED]]
    more = len(waiting) - len(listed)
    return ", ".join(listed) + (f" and {counted(more, 'more call')}" if more else "")


def _reason(seen: Seen, limits: Limits) -> str:
    trained = [step for step in seen.steps if step.training]
    if not seen.runs:
        return "no run has used it"
    if seen.is_raced and not seen.steps:
        return "another call moves its averages in every run"
    if not trained:
        return "no training run has used it"
    if not seen.update_runs:
        return "no run has moved its averages"
    return f"{len(trained)} of {counted(limits.steps, 'training run')}"
