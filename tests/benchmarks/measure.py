"""Time steps against each other in one process: alternating blocks, medians, spreads."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence


@dataclass(frozen=True)
class Ratio:
    """A median of ratios taken block by block, and its quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing:
    """Median seconds of one step per contender, the ratio of each to the first one's time, and
    the least seconds, which are what others on the machine change least."""

    seconds: Mapping[str, float]
    ratios: Mapping[str, Ratio]
    least: Mapping[str, float]


def compare(
    runs: Mapping[str, Callable[[], Any]],
    budget: float = 1.0,
    block: float = 0.012,
    least_rounds: int = 7,
) -> Timing:
    """Times each of `runs` for its share of `budget` seconds.

    A round runs a block of calls of each, in an order that turns from round to round, so that
    drift of the machine and what the one leaves in the caches meet all alike. Ratios are taken
    within a round.
    """
    counts = {name: _calls_in(block, run) for name, run in runs.items()}
    rounds: list[dict[str, float]] = []
    order = list(runs)
    enabled = gc.isenabled()
    gc.disable()
    try:
        end = time.perf_counter() + budget
        while len(rounds) < least_rounds or time.perf_counter() < end:
            rounds.append({name: seconds(runs[name], counts[name]) for name in order})
            order = order[1:] + order[:1] if len(rounds) % 2 else order[::-1]
    finally:
        if enabled:
            gc.enable()
    first = next(iter(runs))
    return Timing(
        {name: statistics.median(row[name] for row in rounds) for name in runs},
        {
            name: quartiles([row[name] / row[first] for row in rounds])
            for name in runs
            if name != first
        },
        {name: min(row[name] for row in rounds) for name in runs},
    )


def seconds(run: Callable[[], Any], count: int) -> float:
    """Mean seconds of `count` calls."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def quartiles(values: Sequence[float]) -> Ratio:
    ordered = sorted(values)
    last = len(ordered) - 1
    low, middle, high = (ordered[int(round(last * part))] for part in (0.25, 0.5, 0.75))
    return Ratio(middle, low, high)


def _calls_in(block: float, run: Callable[[], Any]) -> int:
    """How many calls fill a block; the first calls, which optimize the graph, do not count."""
    for _ in range(3):
        run()
    return max(1, int(block / max(min(seconds(run, 1) for _ in range(3)), 1e-6)))


def settle_allocator() -> None:
    """Frees one large block, so that the C library keeps memory of any smaller size from now on.

    It adapts to the largest block freed so far: without this a case's time depends on whether a
    larger one ran before it, by up to a factor of eight for tensors of a few MB.
    """
    block = bytearray(31 << 20)
    del block
