# SPDX-License-Identifier: Apache-2.0
"""A hook that looks at the moving statistics while a program trains and evaluates."""

from __future__ import annotations

import contextlib
import numbers
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from ...api.advice import warn
from ...runtime.tensorflow_v1 import tf
from ..facts.finding import Finding, Findings, codes_of, ordered
from .judged import Seen, findings_of
from .layers import Layer, Statistics, check_session, is_whole, layers_of, read_all
from .runs import Run, in_inference, ops_in, run_of, unknown_step

REACTIONS = ("warn", "raise")


class StatisticsHook(tf.train.SessionRunHook):  # type: ignore[misc]
    """Tells when moving statistics stand still, are not finite, or move where they must not.

    For `MonitoredSession`, `MonitoredTrainingSession` and Estimators: `hooks=[StatisticsHook()]`.
    In a loop of its own a program calls it like a function, after each run:

        watch = tf1_bn.StatisticsHook()
        watch(session)
        for ...:
            session.run(train_op, ...)
            watch(session, train_op)

    It reads the layers of `tf1_bn` and of every other library, and adds nothing to the graph. The
    statistics are read after every `every` runs that train and at the end, and around a run without
    a gradient step that runs updates; other runs are only counted. The codes: BN501, the statistics
    are bit for bit the same after two or more runs that train; BN502, not finite; BN503, moved by a
    run without a step; BN504, a note, evaluated while younger than their time constant.

    Args:
      every: runs that train from one look at the statistics to the next.
      on: "warn" for a UserWarning, once for each code and layer; "raise" for a RuntimeError, which
        a note never is.
      ignore: codes that are not to be told.

    Raises:
      TypeError: `ignore` is neither a code nor several.
      ValueError: `every` is no whole number from 1 on, `on` is none of these, or a code of `ignore`
        does not exist.
    """

    def __init__(self, every: int = 100, on: str = "warn", ignore: Iterable[str] = ()) -> None:
        if not is_whole(every) or every < 1:
            raise ValueError(f"`every` must be a whole number from 1 on (got {every!r}).")
        if not isinstance(on, str) or on not in REACTIONS:
            raise ValueError(f"`on` must be one of {list(REACTIONS)} (got {on!r}).")
        self._ignored = codes_of(ignore)
        self._every, self._on = int(every), on
        self._told: list[Finding] = []
        self._layers: list[Layer] = []
        self._is_ready = False
        # What a run without a step is compared with; None once a step has run.
        self._before: Mapping[str, Statistics] | None = None

    @property
    def findings(self) -> Findings:
        """All that was told so far."""
        return ordered(self._told)

    # -- of a MonitoredSession -------------------------------------------------------------------

    def begin(self) -> None:
        self._begin(tf.get_default_graph())

    def after_create_session(self, session: Any, coord: Any) -> None:
        self._look_first(session)

    def before_run(self, run_context: Any) -> None:
        run = None
        # The session refuses what it cannot fetch, in its own words.
        with contextlib.suppress(KeyError, TypeError, ValueError):
            run = self._run_of(run_context.session.graph, run_context.original_args.fetches)
        if run is not None and _may_creep(run) and self._before is None:
            self._before = read_all(run_context.session, self._layers)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        session, given = run_context.session, run_context.original_args
        run = self._run_of(session.graph, given.fetches)
        self._after(session, self._training(session.graph, run, given.feed_dict or {}))

    def end(self, session: Any) -> None:
        self._tell(self._seen(read_all(session, self._layers)))

    # -- of any other loop -----------------------------------------------------------------------

    def __call__(self, session: Any, fetches: Any = None) -> None:
        """To be called after a run; the first call only looks how the statistics are.

        Args:
          session: a `tf.Session`.
          fetches: what was run; None for a step of training of which nothing else is known.

        Raises:
          RuntimeError: something was found, with `on="raise"`.
          TypeError: `session` is no session, or `fetches` nothing that a session fetches.
          ValueError: one of them is of another graph than the session of the first call.
          tf.errors.FailedPreconditionError: variables are not initialized.
        """
        check_session(session, self._graph if self._is_ready else None)
        if not self._is_ready:
            self._begin(session.graph)
            self._look_first(session)
            return
        if fetches is None:
            self._after(session, unknown_step(self._layers))
        else:
            _check_fetches(session.graph, fetches)
            run = self._run_of(session.graph, fetches)
            self._after(session, self._training(session.graph, run, None))

    # -- what both do ----------------------------------------------------------------------------

    def _begin(self, graph: Any) -> None:
        self._graph, self._layers = graph, layers_of(graph)
        self._runs: dict[tuple[int, ...], Run] = {}
        if not self._layers:
            warn("StatisticsHook finds no batch normalization with moving statistics in the graph.")

    def _look_first(self, session: Any) -> None:
        self._first: Mapping[str, Statistics] = read_all(session, self._layers)
        self._begun = {name for name, each in self._first.items() if each.are_begun()}
        self._before = None
        self._moved: set[str] = set()
        self._crept: set[str] = set()
        self._young: dict[str, float] = {}
        self._steps = 0
        self._trained = {each.name: 0 for each in self._layers}
        self._updates = {each.name: 0 for each in self._layers}
        self._is_ready = True

    def _run_of(self, graph: Any, fetches: Any) -> Run:
        fetched = list(dict.fromkeys(ops_in(graph, fetches)))
        key = tuple(map(id, fetched))
        if key not in self._runs:
            self._runs[key] = run_of(fetched, self._layers)
        return self._runs[key]

    def _training(self, graph: Any, run: Run, feed_dict: Any) -> Run:
        """The run without layers that it holds still, with statistics from a checkpoint."""
        still = run.trains - run.reaches - self._begun
        layers = [each for each in self._layers if each.name in still]
        held = in_inference(graph, layers, feed_dict)
        return run._replace(trains=run.trains - held) if held else run

    def _after(self, session: Any, run: Run) -> None:
        for name in run.reaches if run.is_step or run.by_itself else ():
            self._updates[name] += 1
        if run.is_step:
            self._before = None
            self._steps += 1
            for name in run.trains:
                self._trained[name] += 1
            if self._steps % self._every == 0:
                self._tell(self._seen(read_all(session, self._layers)))
            return
        new = self._note_age(run)
        if _may_creep(run):
            now = read_all(session, self._layers)
            before, self._before = self._before, now
            if before is not None:
                crept = {n for n in run.reaches if not now[n].equal(before[n])} - self._crept
                self._crept |= crept
                new = new or bool(crept)
        if new:
            self._tell(self._seen(read_all(session, self._layers)))

    def _note_age(self, run: Run) -> bool:
        """Whether a run evaluates a layer that is too young, and was not before."""
        before = len(self._young)
        for layer in self._layers:
            if layer.name in run.evaluates & self._begun and layer.name not in self._young:
                age = layer.age(self._updates[layer.name])
                if age is not None and age < 1.0:
                    self._young[layer.name] = age
        return len(self._young) > before

    def _seen(self, now: Mapping[str, Statistics]) -> list[Seen]:
        self._moved |= {name for name in now if not now[name].equal(self._first[name])}
        return [
            Seen(
                name,
                name in self._begun,
                self._trained[name],
                self._updates[name] > 0,
                name not in self._moved,
                now[name].are_sound(),
                name in self._crept,
                # Moved by runs that nobody told of, so their number is not known.
                None if name in self._moved and not self._updates[name] else self._young.get(name),
            )
            for name in now
        ]

    def _tell(self, layers: Sequence[Seen]) -> None:
        """Each code once for a layer."""
        known = {(each.code, layer) for each in self._told for layer in each.layers}
        found = []
        for each in findings_of(layers):
            fresh = tuple(layer for layer in each.layers if (each.code, layer) not in known)
            if fresh and each.code not in self._ignored:
                found.append(each._replace(layers=fresh))
        self._told += found
        wrong = Findings(each for each in found if each.level != "note" and self._on == "raise")
        for each in found:
            if each not in wrong:
                warn(str(each))
        if wrong:
            raise RuntimeError(f"The moving statistics are not well:\n{wrong}")


def _check_fetches(graph: Any, fetches: Any) -> None:
    """Raises, with the type that a session has for it, for what was not run of a graph."""
    if isinstance(fetches, (numbers.Number, np.ndarray)):
        raise TypeError(f"`fetches` must be ops or tensors that were run (got {fetches!r}).")
    must = "`fetches` must be ops or tensors of the session's graph, or names of them"
    try:
        ops = list(ops_in(graph, fetches))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{must} (got {fetches!r}): {error.args[0]}") from None
    foreign = [op.name for op in ops if op.graph is not graph]
    if foreign:
        raise ValueError(f"{must} (got {fetches!r}: {foreign[0]!r} is of another graph).")


def _may_creep(run: Run) -> bool:
    """Whether a run may move statistics though it trains nothing."""
    return not run.is_step and bool(run.reaches) and not run.by_itself
