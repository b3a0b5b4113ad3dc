# SPDX-License-Identifier: Apache-2.0
"""Notes inputs, outputs and variables of batch-norm calls in a program's own session runs.

A run that is noted fetches a few tensors more, all of which it computes anyway; the variables are
read by two small runs before and after it. No op is added to the program's graph.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Iterable, NamedTuple

import numpy as np

from ...files.arrays import DTYPES
from ...runtime.tensorflow_v1 import tf
from ..recording.recording import Step
from ..recording.sampling import Sample, choose
from .calls import CallWatch, replace_attribute
from .executed import Part, elements, names_of, parts_executed
from .seen import Seen

# Sums of squares and the like; far more than any array that is kept.
_ARRAYS_PER_STEP = 4


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


class Notes:
    """What was noted of one call."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.sample: Sample | None = None
        self.wiring = {"runs": 0, "update_runs": 0}
        self.raced = False

    def wants(self, training: bool | None, updates: int, limits: Limits) -> bool:
        """Whether one more run of this phase (None: not known yet) is to be kept."""
        if training is None:
            return any(self.wants(phase, updates, limits) for phase in (True, False))
        kept = [s for s in self.steps if s.training == training]
        if not training:
            return len(kept) < min(1, limits.steps)
        if updates:
            return sum(s.updates_run > 0 for s in kept) < limits.steps
        return len(kept) < min(1, limits.steps)

    def is_complete(self, seen: Seen, limits: Limits) -> bool:
        """Whether no run could add anything: an unseen phase of a dynamic call still could."""
        phases = {"training": [True], "inference": [False]}.get(seen.phase, [True, False])
        updates = len(seen.updates) + seen.in_place
        return not any(self.wants(phase, updates, limits) for phase in phases)


class SessionWatch:
    """Hooks into session runs between `start` and `stop`."""

    def __init__(self, calls: CallWatch, limits: Limits, stop_when_done: bool = False) -> None:
        self._calls, self._limits, self._stop_when_done = calls, limits, stop_when_done
        self._notes: dict[int, Notes] = {}
        self._parts: dict[Any, list[Part]] = {}
        self._undo: list[Callable[[], None]] = []
        self._bytes = 0
        self._inside = False

    def start(self) -> None:
        # Session and InteractiveSession share the class that defines it.
        owner = next(cls for cls in tf.Session.__mro__ if "run" in vars(cls))
        self._undo.append(replace_attribute(owner, "run", self._run(owner.run)))

    def stop(self) -> None:
        while self._undo:
            self._undo.pop()()

    def notes(self, seen: Seen) -> Notes:
        return self._notes.setdefault(id(seen), Notes())

    def _run(self, original: Any) -> Any:
        @functools.wraps(original)
        def run(
            session: Any,
            fetches: Any,
            feed_dict: Any = None,
            options: Any = None,
            run_metadata: Any = None,
        ) -> Any:
            def plain() -> Any:
                return original(session, fetches, feed_dict, options, run_metadata)

            parts = [] if self._inside else self._executed(session.graph, fetches, feed_dict)
            for part in parts:
                wiring = self.notes(part.seen).wiring
                wiring["runs"] += part.output
                wiring["update_runs"] += part.updates > 0
            wanted = [part for part in parts if part.output and self._wants(part)]
            if not wanted:
                return plain()
            states = [part.seen.state for part in wanted]
            try:
                before = original(session, states)
            except tf.errors.OpError:
                # Variables without a value, or a broken session: the program's own affair.
                return plain()
            extra = [_extra_fetches(part) for part in wanted]
            result, noted = original(session, (fetches, extra), feed_dict, options, run_metadata)
            after = original(session, states)
            writers = _writers(parts)
            for part, values, old, new in zip(wanted, noted, before, after):
                others = writers[part.seen.name] - (part.updates > 0)
                self._keep(part, values, old, new, others)
            if self._stop_when_done and self._is_complete():
                raise Stop
            return result

        return run

    def _wants(self, part: Part) -> bool:
        seen = part.seen
        phase = {"training": True, "inference": False}.get(seen.phase)
        notes = self.notes(seen)
        return seen.can_run and notes.wants(phase, part.updates, self._limits)

    def _is_complete(self) -> bool:
        able = [seen for seen in self._calls.seen if seen.can_run]
        return all(self.notes(seen).is_complete(seen, self._limits) for seen in able)

    def _executed(self, graph: Any, fetches: Any, feed_dict: Any) -> list[Part]:
        calls = [seen for seen in self._calls.seen if seen.graph is graph]
        if not calls:
            return []
        targets, fed = elements(graph, fetches), elements(graph, list(feed_dict or ()))
        key = (id(graph), len(calls), names_of(targets), names_of(fed))
        # What an op needs does not change once it is made.
        if key not in self._parts:
            self._parts[key] = parts_executed(calls, targets, fed)
        return self._parts[key]

    def _keep(self, part: Part, noted: Any, before: Any, after: Any, other_writers: int) -> None:
        seen, notes = part.seen, self.notes(part.seen)
        training = (
            bool(noted.pop("training")) if seen.phase == "dynamic" else seen.phase == "training"
        )
        if not notes.wants(training, part.updates, self._limits):
            return
        if other_writers and (not training or seen.config["renorm"]):
            # Another call moves the averages that this one reads, before or after it does.
            notes.raced = True
            return
        arrays = dict(noted)
        arrays.update({f"before/{role}": _joined(parts) for role, parts in before.items()})
        all_ran = seen.in_place or part.updates == len(seen.updates)
        if part.updates and all_ran and not other_writers:
            statistics = [role for role in after if role not in ("gamma", "beta")]
            arrays.update({f"after/{role}": _joined(after[role]) for role in statistics})
        rank = np.ndim(arrays["input"])
        if not notes.steps:
            shape, size = np.shape(arrays["input"]), np.asarray(arrays["input"]).dtype.itemsize
            axes = _channel_axes(seen, rank)
            notes.sample = choose(shape, size, axes, self._limits.sample_bytes)
        sample = notes.sample
        kept = {
            role: _storable(array if sample is None else sample.take(array, rank))
            for role, array in arrays.items()
        }
        size = sum(array.nbytes for array in kept.values())
        largest = _ARRAYS_PER_STEP * self._limits.sample_bytes
        if size > largest * 16 or self._bytes + size > self._limits.total_bytes:
            note = "some steps are left out: the recording would become too large"
            if note not in seen.notes:
                seen.notes.append(note)
            return
        self._bytes += size
        notes.steps.append(Step(training, part.updates, kept))


def _extra_fetches(part: Part) -> dict[str, Any]:
    seen = part.seen
    extra = {"input": seen.inputs, "output": seen.outputs}
    extra.update({f"value/{name}": seen.values[name] for name in part.values})
    if seen.phase == "dynamic":
        extra["training"] = seen.training
    return extra


def _writers(parts: Iterable[Part]) -> dict[str, int]:
    """How many calls of one run update the variables of a scope."""
    count: dict[str, int] = {}
    for part in parts:
        count[part.seen.name] = count.get(part.seen.name, 0) + (part.updates > 0)
    return count


def _channel_axes(seen: Seen, rank: int) -> list[int]:
    if seen.kind == "contrib":
        return [1 if seen.config["data_format"] == "NCHW" else rank - 1]
    axis = seen.config["axis"]
    return [a % rank for a in (axis if isinstance(axis, list) else [axis])]


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _storable(array: Any) -> Any:
    array = np.asarray(array)
    # float32 holds every bfloat16.
    return array if array.dtype.name in DTYPES else array.astype("float32")
