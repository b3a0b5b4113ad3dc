# SPDX-License-Identifier: Apache-2.0
"""`record`: keeps what decides each batch-norm call of a program, on any TensorFlow from 1.15."""

from __future__ import annotations

import contextlib
import os
import platform
from typing import Any

import numpy as np

from ...files.streams import say
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
from .enough import Limits, Stop, stopper
from .originals import made_anew
from .request import check_request
from .seen import Seen, is_tensor
from .sessions import watched_runs
from .so_far import is_worth_keeping, kept_so_far


class Recorder:
    """A context in which batch-norm calls are noted; `recording` is there after it.

    Leaving it by an exception, Ctrl-C included, keeps what is complete; without a step there is
    nothing to keep, and `recording` stays None. `written` is the file that was written last, and
    `unwritten` the error of one that could not be.
    """

    def __init__(
        self, path: str | None = None, limits: Limits | None = None, stop_when_done: bool = False
    ) -> None:
        self.recording: Recording | None = None
        self.written: str | None = None
        self.unwritten: OSError | None = None
        self._path, self._limits, self._stop_when_done = path, limits or Limits(), stop_when_done
        self._file = os.path.abspath(path or "")  # The program may go to another folder.
        self._replaces = path is not None and os.path.exists(path) and os.path.getsize(path) > 0
        self._calls = CallWatch()
        self._hooks = contextlib.ExitStack()
        self._process = os.getpid()
        self._keep = kept_so_far(self._calls.seen, self._write_so_far, self._limits.steps > 0)

    def __enter__(self) -> Recorder:
        stop_in_time = stopper(self._calls.seen, self._limits)

        def after_run() -> None:
            self._keep(False)
            if self._stop_when_done:
                stop_in_time()

        self._hooks.enter_context(self._calls.listening())
        self._hooks.enter_context(watched_runs(self._calls.seen, self._limits, after_run))
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        self._hooks.close()
        stopped = isinstance(error, Stop)
        is_whole = error is None or stopped
        if os.getpid() != self._process:
            # A forked child at its end: the recording is its parent's.
            return False
        if is_whole or is_worth_keeping(self._calls.seen, self._limits.steps > 0):
            # Replaying takes a while, and may be interrupted.
            self.keep()
            self.recording = Recording(facts(), _finished(self._calls.seen))
            self._write(is_whole)
            if self.unwritten is not None and is_whole:
                raise self.unwritten from None
        return stopped

    @property
    def has_calls(self) -> bool:
        """Whether any call was noticed."""
        return bool(self._calls.seen)

    def keep(self) -> None:
        """Writes what is noted so far, as it is, if there is any step."""
        self.recording = self._as_noted()
        self._keep(True)

    def _as_noted(self) -> Recording:
        return Recording(facts(), _checked([_plain(seen) for seen in self._calls.seen]))

    def _write_so_far(self) -> None:
        known, self.recording = self.unwritten, self._as_noted()
        self._write(False)
        if self.unwritten is not None and known is None:
            say(f"cannot write {self._path} now, and tries again: {self.unwritten.strerror}")

    def _write(self, is_whole: bool) -> None:
        """Writes `recording`; what is not whole goes beside the older file of that name."""
        if self._path is None or self.recording is None or not self.recording.calls:
            return
        part = ".part" if self._replaces and not is_whole else ""
        self.unwritten = None
        try:
            save_recording(self.recording, self._file + part)
        except OSError as error:
            self.unwritten = error
            return
        if self.written not in (None, self._path + part):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._file}.part")
        self.written = self._path + part


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
      path: the file to write; written under a name of its own in the same folder, then renamed.
        It has what is recorded so far while the block runs, and after a block that fails. An older
        recording stays until the new one is whole; till then the new one is in `path` + ".part".
      steps: how many training runs of each call are kept.
      sample_bytes: an input larger than this is kept for some of its channels only.
      total_bytes: no further steps are kept once the arrays take this much.
      stop_when_done: end the block as soon as every call has its training steps.

    Raises:
      ValueError: a limit is not positive.
      FileNotFoundError: the folder of `path` does not exist; told before anything runs.
      IsADirectoryError: `path` is a folder; told as early.
      FileExistsError: `path` is a file, and no recording; told as early.
      OSError: `path` cannot be written; told as early, where it can be known.
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
    seen_calls = watched(noted, "replayed", "layer call")
    return _checked([_replayed(seen, _plain(seen)) for seen in seen_calls])


def _checked(calls: list[Call]) -> list[Call]:
    """The calls, without the steps of one that could not be loaded."""
    names, checked = [call.name for call in calls], []
    for call in calls:
        problem = problem_of(call, shared=names.count(call.name) > 1)
        if problem:
            # What `verify` would refuse to read must not take the other calls with it.
            call = _with_notes(call._replace(steps=[]), f"not recorded: {problem}")
        checked.append(call)
    return checked


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
        # Other threads may add to it.
        steps=list(seen.steps),
    )


def _with_notes(call: Call, *notes: str) -> Call:
    return call._replace(notes=[*call.notes, *dict.fromkeys(note for note in notes if note)])


def _replayed(seen: Seen, call: Call) -> Call:
    if not call.steps:
        raced = "not recorded: every run that used it also moved the averages it reads, elsewhere"
        return _with_notes(call, raced if seen.is_raced else "")
    try:
        built = rebuild(made_anew(seen), call)
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
