# SPDX-License-Identifier: Apache-2.0
"""`record`: keeps what decides each batch-norm call of a program, on any TensorFlow from 1.15."""

from __future__ import annotations

import contextlib
import os
import platform
from typing import Any, Callable

import numpy as np

from ...runtime.tensorflow_v1 import tf
from ...version import __version__
from ..graph_facts import static_shape
from ..recording.model import LEARNED
from ..recording.recording import Call, Recording, Step, problem_of, save_recording
from ..replay import Ran, rebuild, run_step
from ..report.differences import difference
from ..report.progress import watched
from ..report.rows import error_text
from ..report.tolerances import tolerance
from .calls import CallWatch
from .originals import contrib_function
from .request import check_request
from .seen import Seen, is_tensor
from .sessions import Limits, Stop, watched_runs


class Recorder:
    """A context in which batch-norm calls are noted; `recording` is there after it.

    Leaving it by an exception, Ctrl-C included, records nothing.
    """

    def __init__(
        self, path: str | None = None, limits: Limits | None = None, stop_when_done: bool = False
    ) -> None:
        self.recording: Recording | None = None
        self._path, self._limits, self._stop_when_done = path, limits or Limits(), stop_when_done
        self._calls = CallWatch()
        self._hooks = contextlib.ExitStack()

    def __enter__(self) -> Recorder:
        runs = watched_runs(self._calls.seen, self._limits, self._stop_when_done)
        self._hooks.enter_context(self._calls.listening())
        self._hooks.enter_context(runs)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        self._hooks.close()
        stopped = isinstance(error, Stop)
        if error is not None and not stopped:
            return False
        self.recording = Recording(facts(), _finished(self._calls.seen))
        if self._path is not None:
            save_recording(self.recording, self._path)
        return stopped


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
    check_request(path, steps, {"sample_bytes": sample_bytes, "total_bytes": total_bytes})
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


def _finished(noted: list[Seen]) -> list[Call]:
    """The calls as plain values, each of their steps replayed by the layer that made it."""
    names, calls = [seen.name for seen in noted], []
    for seen in watched(noted, "replayed", "layer call"):
        call = _replayed(seen, _plain(seen))
        problem = problem_of(call, shared=names.count(call.name) > 1)
        if problem:
            # What `verify` would refuse to read must not take the other calls with it.
            call = _with_notes(call._replace(steps=[]), f"not recorded: {problem}")
        calls.append(call)
    return calls


def _plain(seen: Seen) -> Call:
    sample, inputs = seen.sample, seen.inputs
    return Call(
        name=seen.name,
        kind=seen.kind,
        config=seen.config,
        phase=seen.phase,
        # The input's as well, which need not be a tensor.
        dtype=seen.outputs.dtype.base_dtype.name,
        shape=static_shape(inputs) if is_tensor(inputs) else list(np.shape(inputs)),
        sample=None if sample is None else {**sample._asdict(), "kept": list(sample.kept)},
        structure=seen.structure,
        wiring={"runs": seen.runs, "update_runs": seen.update_runs},
        notes=list(seen.notes),
        steps=seen.steps,
    )


def _with_notes(call: Call, *notes: str) -> Call:
    return call._replace(notes=[*call.notes, *dict.fromkeys(note for note in notes if note)])


def _replayed(seen: Seen, call: Call) -> Call:
    if not call.steps:
        raced = "not recorded: every run that used it also moved the averages it reads, elsewhere"
        return _with_notes(call, raced if seen.is_raced else "")
    try:
        built = rebuild(_function(seen), call)
        try:
            ran = [run_step(built, step) for step in call.steps]
        finally:
            built.session.close()
    except Exception as error:
        # Whatever the original raises by itself, the program's own numbers are there.
        return _with_notes(call, f"not replayed by itself: {error_text(error)}")
    notes = [_other_output(call, *both) for both in zip(call.steps, ran)]
    steps = [_with_replay(*both) for both in zip(call.steps, ran)]
    return _with_notes(call._replace(steps=steps), *notes)


def _with_replay(step: Step, ran: Ran) -> Step:
    """The step with the gradients, and the statistics that the program's run does not tell."""
    wanted = ["gradient of x", *(f"gradient of {name}" for name in LEARNED)]
    added = {f"alone/{k}": ran.gradients[k] for k in wanted if k in ran.gradients}
    if step.training:
        known = {*LEARNED, *step.group("after")}
        added.update({f"alone/after/{k}": v for k, v in ran.after.items() if k not in known})
    return step._replace(arrays={**step.arrays, **added})


def _other_output(call: Call, step: Step, ran: Ran) -> str:
    """A note where the layer by itself does not do what it did in the program, else ""."""
    error = difference(step.arrays["output"], ran.output).error
    if call.dtype in ("float16", "bfloat16") or error <= 10 * tolerance("output", "float32").error:
        return ""
    return (
        "by itself, the layer that was recorded gives another output: it is a subclass, or depends "
        "on something the recording does not know"
    )


def _function(seen: Seen) -> Callable[..., Any]:
    """What makes the call anew: `batch_norm` itself, or a function that makes such a layer."""
    if seen.kind == "contrib":
        return contrib_function(seen.maker)  # type: ignore[no-any-return]

    def layer(x: Any, training: Any, **arguments: Any) -> Any:
        return seen.maker(**arguments)(x, training=training)

    return layer
