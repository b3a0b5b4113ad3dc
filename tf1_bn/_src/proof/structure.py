# SPDX-License-Identifier: Apache-2.0
"""What two programs built, call by call: `compare_structure`. No TensorFlow."""

from __future__ import annotations

from typing import Any, Mapping

from .recording.recording import Call, Recording
from .report.report import Report, Section
from .report.rows import DIFFERENT, STRUCTURE_OF, Row, exact_row, skipped_row

# The op of a conditional's result: which of the two it is depends on TensorFlow, not on the layer.
_CONDITIONAL = ("Merge", "Identity")


def compare_program(recorded: Recording, rebuilt: Recording | None, failed: str) -> list[Section]:
    """Returns the sections of a program that ran here, and how it ended.

    Args:
      recorded: of the program on the old TensorFlow.
      rebuilt: what the program built here before it ended, None if that is not known.
      failed: why it did not come to a good end, "" if it did. What it might have built or run
        later is then not compared.
    """
    known = rebuilt or Recording(recorded.facts, [])
    sections = compare_structure(recorded, known, bool(failed)).sections
    if not failed:
        return sections
    return [Section("the program", [skipped_row("all of it", failed)], [], []), *sections]


def compare_structure(recorded: Recording, rebuilt: Recording, is_part: bool = False) -> Report:
    """Compares what two programs built: arguments, variables, update ops, outputs, and the wiring.

    Args:
      recorded: of the program on the old TensorFlow.
      rebuilt: of the same program on the new TensorFlow; its steps do not matter.
      is_part: the program ended too early, so that what `rebuilt` lacks proves nothing.

    Returns:
      A report with a section for each call of either recording.
    """
    keys = [[key_of(side, i) for i in range(len(side.calls))] for side in (recorded, rebuilt)]
    sections = []
    for number, key in enumerate(keys[0]):
        title = f"{STRUCTURE_OF}{title_of(recorded, number)}"
        if key not in keys[1]:
            row = Row("call", "", DIFFERENT, "built", "missing")
            if is_part:
                row = skipped_row("call", "the program ended before it was built")
            sections.append(Section(title, [row], [], []))
            continue
        other = rebuilt.calls[keys[1].index(key)]
        sections.append(_structure_section(title, recorded.calls[number], other, is_part))
    for number, key in enumerate(keys[1]):
        if key not in keys[0]:
            row = Row("call", "", DIFFERENT, "missing", "built")
            title = f"{STRUCTURE_OF}{title_of(rebuilt, number)}"
            sections.append(Section(title, [row], [], []))
    return Report("tf1_bn verify", both_facts(recorded.facts, rebuilt.facts), sections)


def both_facts(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Returns a report's facts: which software recorded, and which verifies.

    >>> both_facts({"TensorFlow": "1.15.5"}, {"TensorFlow": "2.21.0"})
    {'recorded with': 'TensorFlow 1.15.5', 'verified with': 'TensorFlow 2.21.0'}
    """

    def shown(side: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {value}" for name, value in side.items())

    return {"recorded with": shown(theirs), "verified with": shown(ours)}


def key_of(recording: Recording, number: int) -> tuple[str, int]:
    """Returns what a call is known by: its variables' scope, and its index among their calls."""
    name = recording.calls[number].name
    return name, sum(call.name == name for call in recording.calls[:number])


def title_of(recording: Recording, number: int) -> str:
    """Returns what a report calls a call: its scope, which call of several, and its phase."""
    name, at = key_of(recording, number)
    call = recording.calls[number]
    several = sum(other.name == name for other in recording.calls) > 1
    return f"{name}{f' call {at + 1}' if several else ''} ({call.phase})"


def _structure_section(title: str, recorded: Call, rebuilt: Call, is_part: bool) -> Section:
    theirs, ours = recorded.structure, rebuilt.structure
    rows = [exact_row("phase", recorded.phase, rebuilt.phase)]
    rows += _argument_rows(recorded, rebuilt)
    by_name = [{v["name"]: v for v in side.get("variables", [])} for side in (theirs, ours)]
    rows.append(exact_row("variable names, in order", list(by_name[0]), list(by_name[1])))
    for name in by_name[0]:
        if name in by_name[1]:
            rows += [
                exact_row(f"{key} of {name}", by_name[0][name][key], by_name[1][name][key])
                for key in ("shape", "dtype", "trainable", "collections")
            ]
    updates = [side.get("updates", []) for side in (theirs, ours)]
    rows.append(exact_row("number of update ops", len(updates[0]), len(updates[1])))
    rows += _writes_rows(updates[0], updates[1])
    outputs = [side.get("output", {}) for side in (theirs, ours)]
    for key in ("dtype", "shape"):
        rows.append(exact_row(f"output {key}", outputs[0].get(key), outputs[1].get(key)))
    rows.append(exact_row("output name", _output_name(theirs), _output_name(ours)))
    rows.append(exact_row("regularization losses", theirs.get("losses"), ours.get("losses")))
    rows += _wiring_rows(recorded, rebuilt, is_part)
    return Section(title, rows, _structural_cause(rows), [])


def _argument_rows(recorded: Call, rebuilt: Call) -> list[Row]:
    """The arguments of the call, where the same function is called on both sides."""
    if recorded.kind != rebuilt.kind:
        return [exact_row("function", recorded.kind, rebuilt.kind)]
    ranks = [len(call.shape or ()) for call in (recorded, rebuilt)]
    theirs, ours = (
        {name: _comparable(name, value, rank) for name, value in call.config.items()}
        for call, rank in zip((recorded, rebuilt), ranks)
    )
    return [exact_row(f"argument {k}", theirs[k], ours[k]) for k in theirs if k in ours]


def _comparable(name: str, value: Any, rank: int) -> Any:
    """An argument in one of the several forms that it may have."""
    if name != "axis" or value is None:
        return value
    listed = value if isinstance(value, list) else [value]
    # A layer counts from the front once it is built.
    return [axis % rank if rank else axis for axis in listed]


def _writes_rows(theirs: list[Any], ours: list[Any]) -> list[Row]:
    """What each update writes, where both graphs show it: a function's body does not."""
    pairs = [(t["writes"], o["writes"]) for t, o in zip(theirs, ours)]
    return [
        exact_row(f"update op {number + 1} writes", their, our)
        for number, (their, our) in enumerate(pairs)
        if their and our
    ]


def _output_name(structure: Mapping[str, Any]) -> str:
    name = str(structure.get("output", {}).get("name", ""))
    scope, _, last = name.rpartition("/")
    return f"{scope}/(conditional)" if last.split(":")[0] in _CONDITIONAL else name


def _wiring_rows(recorded: Call, rebuilt: Call, is_part: bool) -> list[Row]:
    """Whether any session run executed the call's updates, where both programs ran it."""
    if not (recorded.wiring.get("runs") and rebuilt.wiring.get("runs")):
        return [skipped_row("session runs execute the updates", "not run on both sides")]
    ran = [call.wiring.get("update_runs", 0) > 0 for call in (recorded, rebuilt)]
    if is_part and ran[0] and not ran[1]:
        return [skipped_row("session runs execute the updates", "the program ended too early")]
    return [exact_row("session runs execute the updates", ran[0], ran[1])]


def _structural_cause(rows: list[Row]) -> list[str]:
    different = {row.aspect for row in rows if row.verdict == DIFFERENT}
    causes = []
    if "phase" in different:
        causes.append("the training flag is passed differently")
    if "session runs execute the updates" in different:
        causes.append(
            "the update ops are not run: let the train op depend on tf.GraphKeys.UPDATE_OPS, or "
            "use tf1_bn.minimize"
        )
    return causes
