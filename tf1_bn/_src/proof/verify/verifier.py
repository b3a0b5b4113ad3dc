# SPDX-License-Identifier: Apache-2.0
"""`verify`: replays each recorded call on the running TensorFlow and compares."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple

from ..causes import GRADIENTS_ONLY, Observation, likely_cause
from ..recording.consistency import role_of
from ..recording.model import scales
from ..recording.recording import Call, Recording, Step, load_recording
from ..recording.sampling import Sample
from ..replay import Built, Ran, build, weights_for
from ..report.progress import Progress
from ..report.report import (
    DIFFERENT,
    Report,
    Row,
    Section,
    exact_row,
    number_row,
    skipped_row,
    still_row,
)
from ..report.tolerances import tolerance
from ..structure import both_facts, title_of
from .configured import norm_of

_LEARNED = ("gamma", "beta")
_MOST_EXPLAINED = 3


class _Pair(NamedTuple):
    """One step of a call on both sides."""

    call: Call
    step: Step
    label: str
    ran: Ran


def verify(
    recording: Recording | str,
    candidate: Callable[..., Any] | None = None,
    contrib_candidate: Callable[..., Any] | None = None,
) -> Report:
    """Compares `candidate` with what a recording says, each call by itself.

    Before each step the recorded variables are put into the candidate's, so that no rounding
    builds up, and a whole model need not be deterministic. Compared are variables, update ops,
    outputs, the variables after the updates, and the gradients of input, gamma and beta.

    Args:
      recording: what `load_recording` returned, or the path of a file.
      candidate: takes the arguments of `tf1_bn.batch_normalization`, which it is if None.
      contrib_candidate: takes those of `tf1_bn.contrib.batch_norm`, which it is if None.

    Returns:
      A report; `.exit_code` is 0 where everything agrees, 1 for a difference, 2 where some call
      could not be compared or nothing was recorded.

    Raises:
      RecordingError: the file is no recording.
    """
    from ..record.recorder import facts

    if isinstance(recording, str):
        recording = load_recording(recording)
    makers = {
        "layer": _layer_maker(candidate),
        "contrib": _contrib_maker(contrib_candidate),
    }
    progress = Progress("verified", "layer calls", len(recording.calls))
    sections = []
    for number, call in enumerate(recording.calls):
        sections.append(_verify_call(call, title_of(recording, number), makers[call.kind]))
        progress.step()
    progress.done()
    return Report("tf1_bn verify", both_facts(recording.facts, facts()), sections)


def _layer_maker(candidate: Callable[..., Any] | None) -> Callable[..., Any]:
    from ...api.functional import batch_normalization

    function = candidate or batch_normalization

    def make(x: Any, training: Any, name: str, **arguments: Any) -> Any:
        return function(x, training=training, name=name, **arguments)

    return make


def _contrib_maker(candidate: Callable[..., Any] | None) -> Callable[..., Any]:
    from ...contrib.batch_norm import batch_norm

    function = candidate or batch_norm

    def make(x: Any, training: Any, name: str, **arguments: Any) -> Any:
        return function(x, is_training=training, scope=name, **arguments)

    return make


# -- one call ------------------------------------------------------------------------------------


def _verify_call(call: Call, title: str, make: Callable[..., Any]) -> Section:
    if not call.steps:
        why = "; ".join(call.notes) or "no session run used it"
        return Section(title, [skipped_row("everything", why)], [], [])
    try:
        built = build(make, call)
    except Exception as error:
        return Section(title, [_failed("build", "", error)], [], call.notes)
    try:
        rows = _isolated_structure(call, built)
        causes: list[str] = []
        for number, step in enumerate(call.steps):
            label = f"{'training' if step.training else 'inference'} {number + 1}"
            try:
                pair = _Pair(call, step, label, built.run(step))
                found = _step_rows(pair)
            except Exception as error:
                rows.append(_failed("run", label, error))
                continue
            rows += found
            different = [row for row in found if row.verdict == DIFFERENT]
            # Mistakes are tried out one by one; a few steps show them as well as all.
            if different and len(causes) < _MOST_EXPLAINED + (not step.training):
                causes.append(_cause_or_none(pair, different))
    finally:
        built.close()
    return Section(title, rows, _distinct(causes), call.notes)


def _distinct(causes: list[str]) -> list[str]:
    """Each cause once; a step whose gradients alone differ tells less than one that shows more."""
    named = [cause for cause in dict.fromkeys(causes) if cause]
    return [cause for cause in named if cause != GRADIENTS_ONLY] or named


def _failed(aspect: str, label: str, error: Exception) -> Row:
    lines = str(error).splitlines() or [""]
    return Row(aspect, label, DIFFERENT, "no error", f"{type(error).__name__}: {lines[0][:300]}")


def _isolated_structure(call: Call, built: Built) -> list[Row]:
    recorded = {
        role_of(v["name"], call.name): [v["dtype"], v["trainable"], _shape(call, v["shape"])]
        for v in call.structure.get("variables", [])
        if "/part_" not in v["name"]
    }
    ours = {
        role: [v.dtype.base_dtype.name, bool(v.trainable), v.shape.as_list()]
        for role, v in built.variables.items()
    }
    if len(recorded) < len(call.structure.get("variables", [])) or not recorded:
        return []
    rows = [exact_row("variables", recorded, ours)]
    if "updates" in call.structure:
        rows.append(
            exact_row("number of update ops", len(call.structure["updates"]), len(built.updates))
        )
    return rows


def _shape(call: Call, shape: list[int]) -> list[int]:
    """A variable's shape as it is replayed, with the kept channels only."""
    if call.sample is None:
        return shape
    return Sample(**call.sample).taken(shape, call.steps[0].arrays["input"].ndim)


def _step_rows(pair: _Pair) -> list[Row]:
    step, call, label, ran = pair.step, pair.call, pair.label, pair.ran
    x = step.arrays["input"]
    before = step.group("before")
    norm = norm_of(call, step)
    # Without a model of the arithmetic, the greatest expected value is the scale.
    size = {} if norm is None else scales(norm, x, before, step.training, weights_for(x.shape))

    def row(aspect: str, quantity: str, expected: Any, actual: Any) -> Row:
        allowed = tolerance(quantity, call.dtype)
        return number_row(aspect, label, expected, actual, allowed, size.get(aspect))

    rows = [row("output", "output", step.arrays["output"], ran.output)]
    alone = step.group("alone")
    gradients = {k: v for k, v in alone.items() if k.startswith("gradient of ")}
    for name, expected in gradients.items():
        rows.append(row(name, "gradient", expected, ran.gradients.get(name)))
    if not gradients:
        rows.append(skipped_row("gradients", "the recording has none", label))
    if not step.training:
        statistics = [role for role in before if role not in _LEARNED]
        return rows + [still_row(k, label, before[k], ran.after.get(k)) for k in statistics]
    if x.size == 0:
        why = "TF1 makes the statistics of an empty batch NaN, tf1_bn leaves them alone"
        return [*rows, skipped_row("statistics", why, label)]
    after = {**step.group("alone/after"), **step.group("after")}
    if not after:
        return [*rows, skipped_row("statistics", "the recording has none", label)]
    return rows + [row(name, "state", value, ran.after.get(name)) for name, value in after.items()]


def _cause_or_none(pair: _Pair, different: list[Row]) -> str:
    try:
        return _cause(pair, different)
    except Exception:
        # A cause is a reading of the numbers; that there is none must not lose the report.
        return ""


def _cause(pair: _Pair, different: list[Row]) -> str:
    if all(row.aspect.startswith("gradient") for row in different):
        return GRADIENTS_ONLY if all(row.found is not None for row in different) else ""
    step, call = pair.step, pair.call
    norm = norm_of(call, step)
    if norm is None or step.arrays["input"].size == 0:
        return ""
    before = step.group("before")
    after = {**step.group("alone/after"), **step.group("after")}
    if not step.training:
        after = {k: v for k, v in before.items() if k not in _LEARNED}
    seen = {k: pair.ran.after[k] for k in after if k in pair.ran.after}

    def observed(output: Any, statistics: Mapping[str, Any]) -> Observation:
        x = step.arrays["input"]
        return Observation(norm, x, before, step.training, output, statistics, call.dtype)

    return likely_cause(observed(step.arrays["output"], after), observed(pair.ran.output, seen))
