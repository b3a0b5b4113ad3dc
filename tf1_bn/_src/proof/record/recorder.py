# SPDX-License-Identifier: Apache-2.0
"""`record`: keeps what decides each batch-norm call of a program, on any TensorFlow from 1.15."""

from __future__ import annotations

import os
import platform
from typing import Any, Callable

import numpy as np

from ...runtime.tensorflow_v1 import tf
from ...version import __version__
from ..recording.recording import Call, Recording, Step, problem_of, save_recording
from ..recording.sampling import Sample
from ..replay import build
from ..report.differences import difference
from ..report.progress import Progress
from ..report.tolerances import TABLE
from .calls import CallWatch
from .originals import contrib_function
from .seen import Seen
from .sessions import Limits, Notes, SessionWatch, Stop


class Recorder:
    """A context in which batch-norm calls are noted; `recording` is there after it.

    Leaving it by an exception, Ctrl-C included, records nothing.
    """

    def __init__(
        self, path: str | None = None, limits: Limits | None = None, stop_when_done: bool = False
    ) -> None:
        self.recording: Recording | None = None
        self._path = path
        self._limits = limits or Limits()
        self._calls = CallWatch()
        self._sessions = SessionWatch(self._calls, self._limits, stop_when_done)

    def __enter__(self) -> Recorder:
        self._calls.start()
        self._sessions.start()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        self._sessions.stop()
        self._calls.stop()
        stopped = isinstance(error, Stop)
        if error is not None and not stopped:
            return False
        self.recording = Recording(facts(), self._finished_calls())
        if self._path is not None:
            save_recording(self.recording, self._path)
        return stopped

    def _finished_calls(self) -> list[Call]:
        progress = Progress("replayed", "layer calls", len(self._calls.seen))
        names = [seen.name for seen in self._calls.seen]
        calls = []
        for seen in self._calls.seen:
            call = _finish(seen, self._sessions.notes(seen))
            problem = problem_of(call, shared=names.count(call.name) > 1)
            if problem:
                # What `verify` would refuse to read must not take the other calls with it.
                call = call._replace(steps=[], notes=[*call.notes, f"not recorded: {problem}"])
            calls.append(call)
            progress.step()
        progress.done()
        return calls


def record(
    path: str,
    steps: int = 3,
    sample_bytes: int = Limits().sample_bytes,
    total_bytes: int = Limits().total_bytes,
    stop_when_done: bool = False,
) -> Recorder:
    """Records the batch-norm calls of what is built and run in a `with` block.

        with tf1_bn.testing.record("reference.npz"):
            train()

    Watched are `tf.layers.batch_normalization` and its class, `batch_norm` of contrib and TF-Slim,
    and this package's own of both. Of each call the configuration and graph structure are kept,
    and of its first training runs and one inference run the input, the variables before and after,
    and the output. At the end each call is run once more by itself, on the same TensorFlow and the
    same layer, for the gradients and for updates that the program does not run.

    The program's graph stays as it is, and a recorded run computes nothing but what it computed
    before. Not seen are calls inside conditionals, loops and functions, and runs by
    `Session.make_callable` or `partial_run`; the first are listed as such.

    Args:
      path: the file to write when the block ends; written under a name of its own in the
        same folder, then renamed.
      steps: how many training runs of each call are kept.
      sample_bytes: an input larger than this is kept for some of its channels only.
      total_bytes: no further steps are kept once the arrays take this much.
      stop_when_done: end the block as soon as every call has its steps.

    Raises:
      ValueError: a limit is not positive.
      FileNotFoundError: the folder of `path` does not exist; told before anything runs.
      IsADirectoryError: `path` is a folder; told as early.
    """
    for name, value in (("sample_bytes", sample_bytes), ("total_bytes", total_bytes)):
        if not value > 0:
            raise ValueError(f"`{name}` must be positive (got {value!r}).")
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1 (got {steps!r}).")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"`path` must be in an existing folder (got {path!r}).")
    if os.path.isdir(path):
        raise IsADirectoryError(f"`path` must be a file and not a folder (got {path!r}).")
    return Recorder(path, Limits(steps, sample_bytes, total_bytes), stop_when_done)


def facts() -> dict[str, str]:
    """Which software runs, as texts."""
    return {
        "TensorFlow": str(tf.__version__),
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "machine": platform.machine(),
        "oneDNN": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "tf1_bn": __version__,
    }


def _finish(seen: Seen, notes: Notes) -> Call:
    """The call as plain values, each of its steps replayed by the layer that made it."""
    sample: Sample | None = notes.sample
    shape = None if seen.inputs.shape.ndims is None else seen.inputs.shape.as_list()
    call = Call(
        name=seen.name,
        kind=seen.kind,
        config=seen.config,
        phase=seen.phase,
        dtype=tf.as_dtype(seen.inputs.dtype).base_dtype.name,
        shape=None if shape is None else [None if n is None else int(n) for n in shape],
        sample=None if sample is None else {**sample._asdict(), "kept": list(sample.kept)},
        structure=seen.structure,
        wiring=dict(notes.wiring),
        notes=list(seen.notes),
        steps=notes.steps,
    )
    if not call.steps:
        raced = "not recorded: every run that used it also moved the averages it reads, elsewhere"
        return call._replace(notes=[*call.notes, raced]) if notes.raced else call
    try:
        built = build(_maker(seen), call)
        try:
            steps = [_with_replay(call, step, built.run(step)) for step in call.steps]
        finally:
            built.close()
    except Exception as error:
        # Whatever the original raises by itself, the program's own numbers are there.
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return call._replace(notes=[*call.notes, f"not replayed by itself: {reason[:300]}"])
    notes_after = [note for _, note in steps if note]
    return call._replace(
        steps=[step for step, _ in steps], notes=[*call.notes, *dict.fromkeys(notes_after)]
    )


def _with_replay(call: Call, step: Step, ran: Any) -> tuple[Step, str]:
    arrays = dict(step.arrays)
    arrays.update({f"alone/{name}": value for name, value in ran.gradients.items()})
    known = step.group("after")
    if step.training:
        arrays.update(
            {
                f"alone/after/{role}": value
                for role, value in ran.after.items()
                if role not in known and role not in ("gamma", "beta")
            }
        )
    found = difference(step.arrays["output"], ran.output)
    if (
        call.dtype in ("float16", "bfloat16")
        or found.error <= 10 * TABLE["output", "float32"].error
    ):
        return step._replace(arrays=arrays), ""
    note = (
        "by itself, the layer that was recorded gives another output: it is a subclass, or depends "
        "on something the recording does not know"
    )
    return step._replace(arrays=arrays), note


def _maker(seen: Seen) -> Callable[..., Any]:
    if seen.kind == "layer":

        def make_layer(x: Any, training: Any, name: str, **arguments: Any) -> Any:
            return seen.maker(name=name, **arguments)(x, training=training)

        return make_layer
    function = contrib_function(seen.maker)

    def make_contrib(x: Any, training: Any, name: str, **arguments: Any) -> Any:
        return function(x, is_training=training, scope=name, **arguments)

    return make_contrib
