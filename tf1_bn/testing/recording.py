# SPDX-License-Identifier: Apache-2.0
"""A recording: what batch-norm calls of a program were asked for and what they did. No TensorFlow.

The file is a zip archive with `recording.json` and one plain array for each number recorded.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from .files import NotAnArchive, read_archive, write_archive

FORMAT = "tf1_bn recording"
VERSION = 1
KINDS = ("layer", "contrib")
# Longer names than TensorFlow's own are not recorded and not shown.
_LONGEST_TEXT = 2000
_VARIABLE_FACTS = {"name", "shape", "dtype", "trainable", "collections"}


class RecordingError(ValueError):
    """The file is no recording that can be read, with the reason in one sentence."""


class Step(NamedTuple):
    """One run of one call.

    Arrays by role: `input`, `output`, `before/<variable>`, `after/<variable>`, `value/<argument>`
    for arguments that are tensors, and from the layer replayed by itself on the TensorFlow that
    recorded: `alone/output`, `alone/after/<variable>`, `alone/gradient of <what>`.

    `updates_run` counts the call's update ops that the session run executed.
    """

    training: bool
    updates_run: int
    arrays: Mapping[str, Any]

    def group(self, prefix: str) -> dict[str, Any]:
        """The arrays below `prefix/`, by the rest of their roles."""
        start = f"{prefix}/"
        return {k[len(start) :]: v for k, v in self.arrays.items() if k.startswith(start)}


class Call(NamedTuple):
    """One call of a batch-norm layer.

    name: the variables' common scope. kind: "layer" for tf.layers and its like, "contrib" for
    tf.contrib's and slim's function. config: the arguments, as plain values; one that is a tensor
    stands as {"tensor": argument}. phase: "training", "inference" or "dynamic". sample: None, or
    {"axis", "kept", "of"} where only some channels were kept. structure: what the call added to
    the graph. wiring: in how many session runs the call and its updates took part.
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


class Recording(NamedTuple):
    """All calls of a program in the order they were made, and where it ran."""

    facts: dict[str, str]
    calls: list[Call]


def save_recording(recording: Recording, path: str) -> None:
    """Writes the file beside `path` and renames it."""
    arrays: dict[str, Any] = {}
    calls = []
    for number, call in enumerate(recording.calls):
        plain = call._asdict()
        plain["steps"] = []
        for at, step in enumerate(call.steps):
            roles = list(step.arrays)
            arrays.update({f"{number}/{at}/{i}": step.arrays[role] for i, role in enumerate(roles)})
            plain["steps"].append(
                {"training": step.training, "updates_run": step.updates_run, "roles": roles}
            )
        calls.append(dict(plain))
    header = {"format": FORMAT, "version": VERSION, "facts": recording.facts, "calls": calls}
    write_archive(path, header, arrays)


def load_recording(path: str) -> Recording:
    """Reads a recording; the file may come from anybody.

    Raises:
      RecordingError: the file cannot be opened, is damaged, is no recording or of another version.
    """
    try:
        archive = read_archive(path)
        return _recording(archive.header, archive.arrays)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}.") from None
    except NotAnArchive as error:
        raise RecordingError(f"{path} is not a tf1_bn recording: {error}.") from None


def _recording(header: Any, arrays: Mapping[str, Any]) -> Recording:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise NotAnArchive("it says so nowhere")
    if header.get("version") != VERSION:
        raise NotAnArchive(f"it has format version {_shown(header.get('version'))}, not {VERSION}")
    facts = _typed(header, "facts", dict)
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in facts.items()):
        raise NotAnArchive("its facts are no texts")
    calls = [
        _call(plain, number, arrays) for number, plain in enumerate(_typed(header, "calls", list))
    ]
    return Recording(facts, calls)


def _call(plain: Any, number: int, arrays: Mapping[str, Any]) -> Call:
    if not isinstance(plain, dict):
        raise NotAnArchive(f"call {number} is no object")
    name, kind = _typed(plain, "name", str), _typed(plain, "kind", str)
    phase = _typed(plain, "phase", str)
    if kind not in KINDS or phase not in ("training", "inference", "dynamic"):
        raise NotAnArchive(f"call {number} is of an unknown kind or phase")
    if len(name) > _LONGEST_TEXT:
        raise NotAnArchive(f"the name of call {number} has {len(name)} characters")
    call = Call(
        name=name,
        kind=kind,
        config=_typed(plain, "config", dict),
        phase=phase,
        dtype=_typed(plain, "dtype", str),
        shape=_shape(plain.get("shape"), number),
        sample=None if plain.get("sample") is None else _sample(_typed(plain, "sample", dict)),
        structure=_typed(plain, "structure", dict),
        wiring=_typed(plain, "wiring", dict),
        notes=[str(note)[:_LONGEST_TEXT] for note in _typed(plain, "notes", list)],
        steps=[
            _step(step, f"{number}/{at}", arrays)
            for at, step in enumerate(_typed(plain, "steps", list))
        ],
    )
    _check_structure(call, number)
    for step in call.steps:
        _check_fit(call, step.arrays["input"].shape, number)
    return call


def _check_structure(call: Call, number: int) -> None:
    kinds = {"variables": list, "updates": list, "output": dict, "losses": int}
    for key, kind in kinds.items():
        if not isinstance(call.structure.get(key, kind()), kind):
            raise NotAnArchive(f"`{key}` of call {number} is of another type")
    for variable in call.structure.get("variables", []):
        if not isinstance(variable, dict) or set(variable) != _VARIABLE_FACTS:
            raise NotAnArchive(f"a variable of call {number} is not described")
        if not isinstance(variable["name"], str):
            raise NotAnArchive(f"a variable of call {number} has no name")
    for update in call.structure.get("updates", []):
        writes = update.get("writes") if isinstance(update, dict) else None
        if not isinstance(writes, list) or not all(isinstance(name, str) for name in writes):
            raise NotAnArchive(f"an update op of call {number} is not described")
    if not all(_is_size(count) for count in call.wiring.values()):
        raise NotAnArchive(f"the wiring of call {number} is no counts")


def _check_fit(call: Call, shape: tuple[int, ...], number: int) -> None:
    """The static shape decides how large variables are made, so the arrays must bear it out."""
    if call.shape is None:
        return
    wanted = list(call.shape)
    if call.sample is not None and call.sample["axis"] < len(wanted):
        wanted[call.sample["axis"]] = len(call.sample["kept"])
    if len(wanted) != len(shape) or any(w not in (None, n) for w, n in zip(wanted, shape)):
        raise NotAnArchive(f"an input of call {number} is of shape {list(shape)}, not {wanted}")


def _step(plain: Any, prefix: str, arrays: Mapping[str, Any]) -> Step:
    if not isinstance(plain, dict):
        raise NotAnArchive(f"step {prefix} is no object")
    found = {}
    for at, role in enumerate(_typed(plain, "roles", list)):
        key = f"{prefix}/{at}"
        if not isinstance(role, str) or key not in arrays:
            raise NotAnArchive(f"array {key} is missing or has no role")
        found[role] = arrays[key]
    if "input" not in found or found["input"].ndim < 1:
        raise NotAnArchive(f"step {prefix} has no input")
    training, updates = _typed(plain, "training", bool), _typed(plain, "updates_run", int)
    return Step(training, updates, found)


def _shape(value: Any, number: int) -> list[Any] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(_is_size(n) or n is None for n in value):
        raise NotAnArchive(f"the shape of call {number} is none")
    return value


def _sample(sample: dict[str, Any]) -> dict[str, Any]:
    kept = _typed(sample, "kept", list)
    if not kept or not all(map(_is_size, [*kept, sample.get("axis"), sample.get("of")])):
        raise NotAnArchive("a sample does not say which channels it kept")
    return sample


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def _typed(plain: Mapping[str, Any], key: str, kind: type) -> Any:
    value = plain.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise NotAnArchive(f"`{key}` must be of type {kind.__name__} (got {_shown(value)})")
    return value


def _shown(value: Any) -> str:
    return ascii(value)[:80]
