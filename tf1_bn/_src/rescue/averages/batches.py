# SPDX-License-Identifier: Apache-2.0
"""Batches as a caller gives them, run one after the other, with one line of what stopped a run."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Generator, Iterable, Mapping, NamedTuple

import numpy as np

from ...proof.report.progress import watched
from ...runtime.tensorflow_v1 import tf
from .held import line_of

_WHAT = (
    "`batches` must be a list of feed dicts, something else that can be gone through more than "
    "once, a function that returns an iterator, or the number of runs of an input pipeline"
)
# Of what was fed, of the session's state, and of ops that this machine cannot run.
_EXPLAINED = (tf.errors.OpError, TypeError, ValueError)


class Phase(NamedTuple):
    """Bools that choose the phase, by name, and what they follow from, should a batch not say."""

    switches: Mapping[str, bool]
    sources: Mapping[str, Any]


class Batches(NamedTuple):
    """Feed dicts, as often as they are asked for; the first one alone; `number` where known."""

    feeds: Callable[[], Iterable[Mapping[Any, Any]]]
    first: Callable[[], Any]
    number: int | None


def batches_of(given: Any, rounds: int) -> Batches:
    """Reads the argument `batches`.

    Args:
      given: what a caller gave.
      rounds: how often all of them are needed.

    Raises:
      TypeError: it is nothing of the kind.
      ValueError: a number below 1, or an iterator where several rounds are needed.
    """
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        count = int(given)
        if count < 1:
            raise ValueError(f"`batches` must be at least 1 (got {count}).")
        return Batches(lambda: ({} for _ in range(count)), dict, count)
    if callable(given):
        return Batches(given, lambda: next(iter(given()), None), None)
    if not hasattr(given, "__iter__") or isinstance(given, (str, bytes, Mapping)):
        raise TypeError(f"{_WHAT} (got {type(given).__name__}).")
    if hasattr(given, "__next__"):
        return _of_iterator(given, rounds)
    number = len(given) if hasattr(given, "__len__") else None
    return Batches(lambda: given, lambda: next(iter(given), None), number)


def _of_iterator(given: Any, rounds: int) -> Batches:
    if rounds > 1:
        raise ValueError(
            f"`batches` is an iterator, which ends after one round, and {rounds} are needed, one "
            'for each depth of layers: give a list or a function, or method="one_pass"'
        )
    taken: list[Any] = []

    def first() -> Any:
        taken.extend(itertools.islice(given, 0 if taken else 1))
        return taken[0] if taken else None

    return Batches(lambda: itertools.chain(taken, given), first, None)


def arrays_of(
    session: Any, batches: Batches, fetches: Any, phase: Phase, told: str
) -> Generator[Any, None, None]:
    """Runs each batch and gives what was fetched; `told` is for the line of progress, if any.

    Raises:
      TypeError: a batch is no feed dict.
      ValueError: TensorFlow does not run a batch; the text says which one, and why.
    """
    feeds = watched(batches.feeds(), told, "batch", batches.number) if told else batches.feeds()
    for number, feed in enumerate(feeds, 1):
        yield run(session, fetches, feed, phase, f"batch {number}")


def run(session: Any, fetches: Any, feed: Any, phase: Phase, which: str) -> Any:
    """One run, with the switches of `phase` in place of whatever `feed` says of them."""
    if not isinstance(feed, Mapping):
        raise TypeError(f"{which} must be a feed dict (got {type(feed).__name__}).")
    named = {getattr(key, "name", key): (key, value) for key, value in feed.items()}
    given = dict(pair for name, pair in named.items() if name not in phase.switches)
    sources = {name: value for name, value in phase.sources.items() if name not in named}
    try:
        return session.run(fetches, {**sources, **given, **phase.switches})
    except tf.errors.OutOfRangeError:
        raise ValueError(f"{which}: the input pipeline has no more; let it repeat") from None
    except _EXPLAINED as error:
        raise ValueError(f"{which}: {line_of(error)}") from None
