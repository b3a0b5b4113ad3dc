# SPDX-License-Identifier: Apache-2.0
"""`verify`: replays each recorded call on the running TensorFlow and compares."""

from __future__ import annotations

from typing import Any, Callable

from ..causes import GRADIENTS_ONLY, Observation, likely_cause
from ..norms import norm_of
from ..recording.consistency import role_of
from ..recording.model import LEARNED, Norm
from ..recording.recording import Call, Recording, Step, load_recording
from ..recording.scales import scales
from ..replay import Built, Ran, rebuild, run_step, weights_for
from ..report.progress import watched
from ..report.report import Report, Section
from ..report.rows import (
    DIFFERENT,
    Row,
    exact_row,
    number_row,
    raised_row,
    skipped_row,
    still_row,
)
from ..report.tolerances import tolerance
from ..structure import both_facts, title_of

_MOST_EXPLAINED = 3


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
    from ...api.functional import batch_normalization
    from ...contrib.batch_norm import batch_norm
    from ..record.recorder import facts

    if isinstance(recording, str):
        recording = load_recording(recording)
    functions = {
        "layer": candidate or batch_normalization,
        "contrib": contrib_candidate or batch_norm,
    }
    sections = [
        _verify_call(call, title_of(recording, number), functions[call.kind])
        for number, call in enumerate(watched(recording.calls, "verified", "layer call"))
    ]
    return Report("tf1_bn verify", both_facts(recording.facts, facts()), sections)


# -- one call ------------------------------------------------------------------------------------


def _verify_call(call: Call, title: str, function: Callable[..., Any]) -> Section:
    if not call.steps:
        why = "; ".join(call.notes) or "no session run used it"
        return Section(title, [skipped_row("everything", why)], [], [])
    try:
        built = rebuild(function, call)
    except Exception as error:
        return Section(title, [raised_row("build", "", error)], [], call.notes)
    causes: list[str] = []
    try:
        rows = _isolated_structure(call, built)
        for number, step in enumerate(call.steps):
            label = f"{'training' if step.training else 'inference'} {number + 1}"
            try:
                ran = run_step(built, step)
                norm = norm_of(call, step)
                found = _step_rows(call, step, label, ran, norm)
            except Exception as error:
                rows.append(raised_row("run", label, error))
                continue
            rows += found
            different = [row for row in found if row.verdict == DIFFERENT]
            # Mistakes are tried out one by one; a few steps show them as well as all.
            if different and len(causes) < _MOST_EXPLAINED + (not step.training):
                causes.append(_cause_or_none(call, step, ran, norm, different))
    finally:
        built.session.close()
    return Section(title, rows, _distinct(causes), call.notes)


def _distinct(causes: list[str]) -> list[str]:
    """Each cause once; a step whose gradients alone differ tells less than one that shows more."""
    named = [cause for cause in dict.fromkeys(causes) if cause]
    return [cause for cause in named if cause != GRADIENTS_ONLY] or named


def _isolated_structure(call: Call, built: Built) -> list[Row]:
    recorded = {
        role_of(v["name"], call.name): [v["dtype"], v["trainable"], call.kept_shape(v["shape"])]
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


def _step_rows(call: Call, step: Step, label: str, ran: Ran, norm: Norm | None) -> list[Row]:
    x, before = step.arrays["input"], step.group("before")
    # Without a model of the arithmetic, the greatest expected value is the scale.
    size = {} if norm is None else scales(norm, x, before, step.training, weights_for(x.shape))

    def row(aspect: str, quantity: str, expected: Any, actual: Any) -> Row:
        allowed = tolerance(quantity, call.dtype)
        return number_row(aspect, label, expected, actual, allowed, size.get(aspect))

    rows = [row("output", "output", step.arrays["output"], ran.output)]
    gradients = {k: v for k, v in step.group("alone").items() if k.startswith("gradient of ")}
    for name, expected in gradients.items():
        rows.append(row(name, "gradient", expected, ran.gradients.get(name)))
    if not gradients:
        rows.append(skipped_row("gradients", "the recording has none", label))
    if not step.training:
        statistics = [role for role in before if role not in LEARNED]
        return rows + [still_row(k, label, before[k], ran.after.get(k)) for k in statistics]
    if x.size == 0:
        why = "TF1 makes the statistics of an empty batch NaN, tf1_bn leaves them alone"
        return [*rows, skipped_row("statistics", why, label)]
    after = _after(step)
    if not after:
        return [*rows, skipped_row("statistics", "the recording has none", label)]
    return rows + [row(name, "state", value, ran.after.get(name)) for name, value in after.items()]


def _after(step: Step) -> dict[str, Any]:
    """The statistics that the step should leave behind, by role."""
    if not step.training:
        return {k: v for k, v in step.group("before").items() if k not in LEARNED}
    return {**step.group("alone/after"), **step.group("after")}


def _cause_or_none(
    call: Call, step: Step, ran: Ran, norm: Norm | None, different: list[Row]
) -> str:
    try:
        return _cause(call, step, ran, norm, different)
    except Exception:
        # A cause is a reading of the numbers; that there is none must not lose the report.
        return ""


def _cause(call: Call, step: Step, ran: Ran, norm: Norm | None, different: list[Row]) -> str:
    if all(row.aspect.startswith("gradient") for row in different):
        return GRADIENTS_ONLY if all(row.found is not None for row in different) else ""
    x, before, after = step.arrays["input"], step.group("before"), _after(step)
    if norm is None or x.size == 0:
        return ""
    expected = Observation(norm, x, before, step.training, step.arrays["output"], after, call.dtype)
    seen = {name: ran.after[name] for name in after if name in ran.after}
    return likely_cause(expected, expected._replace(output=ran.output, after=seen))
