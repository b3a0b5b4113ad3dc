# SPDX-License-Identifier: Apache-2.0
"""A recording: what batch-norm calls of a program were asked for and what they did. No TensorFlow.

The file is a zip archive with `recording.json` and one plain array for each number recorded.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

from .archive import RecordingError, read_archive, write_archive
from .checks import shown
from .consistency import check_call
from .sampling import Sample
from .schema import FORMAT, LONGEST_TEXT, VERSION, check_call_text, check_header


class Step(NamedTuple):
    """One run of one call.

    training: its phase. updates_run: how many of the call's update ops the session run executed.
    arrays: by role. `input` and `output` have the input's shape, `before/<variable>` and
    `after/<variable>` the variable's, `value/<argument>` that of an argument that is a tensor. Of
    the layer replayed by itself on the TensorFlow that recorded come `alone/after/<variable>` and
    `alone/gradient of <what>`, of the shape of what they are of. All have the kept channels only.
    """

    training: bool
    updates_run: int
    arrays: Mapping[str, Any]

    def group(self, prefix: str) -> dict[str, Any]:
        """Returns the arrays below `prefix/`, by the rest of their roles."""
        start = f"{prefix}/"
        return {k[len(start) :]: v for k, v in self.arrays.items() if k.startswith(start)}


class Call(NamedTuple):
    """One call of a batch-norm layer.

    name: the variables' common scope. kind: "layer" for tf.layers and its like, "contrib" for
    tf.contrib's and slim's function. config: the arguments, as plain values; one that is a tensor
    stands as {"tensor": argument}. phase: "training", "inference" or "dynamic". dtype, shape: of
    the whole input in the graph, None an unknown size or rank. sample: None, or {"axis", "kept",
    "of"} where only some channels were kept. structure: what the call added to the graph. wiring:
    in how many session runs the call and its updates took part. notes: what else there is to
    tell, in sentences. steps: the runs that were kept.
    """

    name: str
    kind: str
    config: dict[str, Any]
    phase: str
    dtype: str
    shape: list[Any] | None
    sample: dict[str, Any] | None
    structure: dict[str, Any]
    wiring: dict[str, int]
    notes: list[str]
    steps: list[Step]

    def kept_shape(self, shape: Sequence[Any] | None) -> list[Any] | None:
        """Returns which shape an input, an output or a variable of `shape` is recorded in.

        That is `shape`, but for the channels that were left out; None stays None.
        """
        if shape is None or self.sample is None:
            return None if shape is None else list(shape)
        return Sample(**self.sample).taken(shape, self.steps[0].arrays["input"].ndim)


class Recording(NamedTuple):
    """All calls of a program in the order they were made, and in `facts` which software ran it."""

    facts: dict[str, str]
    calls: list[Call]


# Pickles name what users know. Not in the classes: Python 3.7 overwrites it there.
Step.__module__ = Call.__module__ = Recording.__module__ = "tf1_bn.testing"


def save_recording(recording: Recording, path: str) -> None:
    """Writes the file beside `path` and renames it."""
    arrays: dict[str, Any] = {}
    calls = []
    for number, call in enumerate(recording.calls):
        calls.append(_plain(call))
        for at, step in enumerate(call.steps):
            arrays.update({f"{number}/{at}/{i}": a for i, a in enumerate(step.arrays.values())})
    header = {"format": FORMAT, "version": VERSION, "facts": recording.facts, "calls": calls}
    write_archive(path, header, arrays)


def problem_of(call: Call, shared: bool) -> str:
    """Returns why a recording with this call could not be loaded, "" if it can.

    `shared` says that other calls have the same variables.
    """
    try:
        check_call_text(_plain(call))
        check_call(call, shared)
    except RecordingError as error:
        return str(error)
    return ""


def _plain(call: Call) -> dict[str, Any]:
    steps = [
        {"training": s.training, "updates_run": s.updates_run, "roles": list(s.arrays)}
        for s in call.steps
    ]
    notes = [note[:LONGEST_TEXT] for note in call.notes]
    return {**call._asdict(), "notes": notes, "steps": steps}


def load_recording(path: str) -> Recording:
    """Returns the recording in a file, which may come from anybody.

    Every key of the JSON text is checked against the table of `schema`, and each call against its
    arrays, before anything is made of them.

    Raises:
      RecordingError: the file cannot be opened, is damaged, is no recording or of another version,
        lacks a key or has one too many, or contradicts itself.
    """
    try:
        return recording_from(*read_archive(path))
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}.") from None
    except RecordingError as error:
        raise RecordingError(f"{path} is not a tf1_bn recording: {error}.") from None


def recording_from(header: Any, arrays: Mapping[str, Any]) -> Recording:
    """Returns the recording of a JSON value and of the arrays by their names in the archive.

    Raises:
      RecordingError: it is none; the message says why, and of no file.
    """
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RecordingError("it says so nowhere")
    version = header.get("version")
    if version != VERSION:
        raise RecordingError(f"it has format version {shown(version)}, not {VERSION}")
    check_header(header)
    _check_arrays(header["calls"], arrays)
    calls = [_call(plain, number, arrays) for number, plain in enumerate(header["calls"])]
    names = [call.name for call in calls]
    for number, call in enumerate(calls):
        try:
            check_call(call, shared=names.count(call.name) > 1)
        except RecordingError as error:
            raise RecordingError(f"call {number}: {error}") from None
    return Recording(header["facts"], calls)


def _check_arrays(calls: list[Any], arrays: Mapping[str, Any]) -> None:
    """Each array has one role, and each role an array."""
    keys: set[str] = set()
    for number, call in enumerate(calls):
        for at, step in enumerate(call["steps"]):
            roles = step["roles"]
            if len(set(roles)) < len(roles):
                raise RecordingError(f"two arrays of step {number}/{at} have one role")
            keys.update(f"{number}/{at}/{i}" for i in range(len(roles)))
    for key in sorted(keys ^ set(arrays)):
        raise RecordingError(f"array {shown(key)} is missing or has no role")


def _call(plain: dict[str, Any], number: int, arrays: Mapping[str, Any]) -> Call:
    steps = [
        Step(
            step["training"],
            step["updates_run"],
            {role: arrays[f"{number}/{at}/{i}"] for i, role in enumerate(step["roles"])},
        )
        for at, step in enumerate(plain["steps"])
    ]
    return Call(**{**plain, "steps": steps})
