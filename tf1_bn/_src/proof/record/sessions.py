# SPDX-License-Identifier: Apache-2.0
"""Notes inputs, outputs and variables of batch-norm calls in a program's own session runs.

A run that is noted fetches a few tensors more, all of which it computes anyway; the variables are
read by two small runs before and after it. No op is added to the program's graph.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from ...runtime.tensorflow_v1 import tf
from ..recording.archive import DTYPES
from ..recording.model import LEARNED
from ..recording.recording import Step
from ..recording.sampling import choose
from .calls import replaced
from .enough import Limits, lacks, phases
from .executed import Part, elements, names_of, parts_executed
from .seen import Seen

# A step may be so many times as large as its input, sampled; few come near it.
_SAMPLES_PER_STEP = 64


@contextlib.contextmanager
def watched_runs(
    calls: list[Seen], limits: Limits, after_run: Callable[[], None]
) -> Iterator[None]:
    """Notes what the process's session runs do of `calls`, a list that grows meanwhile.

    Calls `after_run` after each run that used one of them; what it raises, the program gets.
    """
    # Session and InteractiveSession share the class that defines it.
    owner = next(cls for cls in tf.Session.__mro__ if "run" in vars(cls))
    original, executed = owner.run, _remembered(calls)

    @functools.wraps(original)
    def run(
        session: Any,
        fetches: Any,
        feed_dict: Any = None,
        options: Any = None,
        run_metadata: Any = None,
    ) -> Any:
        parts = executed(session.graph, fetches, feed_dict)
        used = any(part.output or part.updates for part in parts)
        wanted = [part for part in parts if part.output and _wants(part, limits)]
        states = [part.seen.state for part in wanted]
        try:
            before = original(session, states) if wanted else []
        except tf.errors.OpError:
            # Variables without a value, or a broken session: the program's own affair.
            wanted = []
        if not wanted:
            result = original(session, fetches, feed_dict, options, run_metadata)
            if used:
                after_run()
            return result
        extra = [_extra_fetches(part) for part in wanted]
        result, noted = original(session, (fetches, extra), feed_dict, options, run_metadata)
        after = original(session, states)
        for part, arrays, old, new in zip(wanted, noted, before, after):
            step = _step(part, arrays, old, new, _other_writers(part, parts))
            if step is not None and lacks(part.seen, step.training, part.updates, limits):
                _keep(part.seen, step, calls, limits)
        after_run()
        return result

    with replaced(owner, "run", run):
        yield


def _remembered(calls: list[Seen]) -> Callable[..., list[Part]]:
    """Returns a function that says, and counts, what a run executes of each call of its graph."""
    known: dict[Any, list[Part]] = {}

    def executed(graph: Any, fetches: Any, feed_dict: Any) -> list[Part]:
        own = [seen for seen in calls if seen.graph is graph]
        if not own:
            return []
        targets, fed = elements(graph, fetches), elements(graph, list(feed_dict or ()))
        key = (id(graph), len(own), names_of(targets), names_of(fed))
        # What an op needs does not change once it is made.
        if key not in known:
            known[key] = parts_executed(own, targets, fed)
        for part in known[key]:
            part.seen.runs += part.output
            part.seen.update_runs += part.updates > 0
        return known[key]

    return executed


# -- which steps are kept ------------------------------------------------------------------------


def _wants(part: Part, limits: Limits) -> bool:
    return part.seen.can_run and any(
        lacks(part.seen, training, part.updates, limits) for training in phases(part.seen)
    )


def _other_writers(part: Part, parts: Iterable[Part]) -> int:
    """How many other calls of the run update the variables of this one."""
    same = [other for other in parts if other.seen.name == part.seen.name]
    return sum(other.updates > 0 for other in same) - (part.updates > 0)


def _keep(seen: Seen, step: Step, calls: Iterable[Seen], limits: Limits) -> None:
    rank = np.ndim(step.arrays["input"])
    if not seen.steps:
        inputs = np.asarray(step.arrays["input"])
        axes = _channel_axes(seen, rank)
        seen.sample = choose(inputs.shape, inputs.dtype.itemsize, axes, limits.sample_bytes)
    sample = seen.sample
    arrays = {
        role: _storable(array if sample is None else sample.take(array, rank))
        for role, array in step.arrays.items()
    }
    step = step._replace(arrays=arrays)
    size, before = _bytes([step]), sum(_bytes(call.steps) for call in calls)
    if size <= _SAMPLES_PER_STEP * limits.sample_bytes and before + size <= limits.total_bytes:
        seen.steps.append(step)
        return
    note = "some steps are left out: the recording would become too large"
    seen.notes += [] if seen.is_full else [note]
    seen.is_full = True


def _bytes(steps: Iterable[Step]) -> int:
    return sum(array.nbytes for step in steps for array in step.arrays.values())


# -- one step ------------------------------------------------------------------------------------


def _step(part: Part, noted: dict[str, Any], before: Any, after: Any, others: int) -> Step | None:
    """The step that a run was for one call; None if `others`, that many calls, disturbed it."""
    seen, arrays = part.seen, dict(noted)
    training = bool(arrays.pop("training", seen.phase == "training"))
    if others and (not training or seen.config["renorm"]):
        # Another call moves the averages that this one reads, before or after it does.
        seen.is_raced = True
        return None
    arrays.update({f"before/{role}": _joined(parts) for role, parts in before.items()})
    all_ran = seen.in_place or part.updates == len(seen.updates)
    if part.updates and all_ran and not others:
        statistics = [role for role in after if role not in LEARNED]
        arrays.update({f"after/{role}": _joined(after[role]) for role in statistics})
    return Step(training, part.updates, arrays)


def _extra_fetches(part: Part) -> dict[str, Any]:
    seen = part.seen
    extra = {"input": seen.inputs, "output": seen.outputs}
    extra.update({f"value/{name}": seen.values[name] for name in part.values})
    if seen.phase == "dynamic":
        extra["training"] = seen.training
    return extra


def _channel_axes(seen: Seen, rank: int) -> list[int]:
    if seen.kind == "contrib":
        return [1 if seen.config["data_format"] == "NCHW" else rank - 1]
    axis = seen.config["axis"]
    return [a % rank for a in (axis if isinstance(axis, list) else [axis])]


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _storable(array: Any) -> Any:
    array = np.asarray(array)
    # float32 holds every bfloat16.
    return array if array.dtype.name in DTYPES else array.astype("float32")
