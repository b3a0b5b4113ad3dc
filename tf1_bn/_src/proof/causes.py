# SPDX-License-Identifier: Apache-2.0
"""Names the likely cause of a difference: which known mistake gives exactly these numbers."""

from __future__ import annotations

import itertools
from typing import Any, Iterator, Mapping, NamedTuple

import numpy as np

from .recording.model import Norm, Quirks, apply, scales
from .report.differences import difference
from .report.tolerances import tolerance

# A mistake explains numbers that are within this many tolerances of what it gives.
FIT = 4.0
# Fitted constants closer than this to the configured ones are the configured ones.
_SAME = 0.02
GRADIENTS_ONLY = (
    "the forward pass and the updates agree and only gradients differ: a stop_gradient that is "
    "missing, or moments that are taken for constants"
)


class _Mistake(NamedTuple):
    quirks: Quirks
    does: str


_MISTAKES = (
    _Mistake(
        Quirks(no_updates=True),
        "does not move the moving statistics (update ops not run, or training flag False)",
    ),
    _Mistake(
        Quirks(other_phase=True),
        "normalizes with the statistics of the other phase (training flag)",
    ),
    _Mistake(
        Quirks(other_phase=True, no_updates=True),
        "behaves as in the other phase: output and updates (training flag)",
    ),
    _Mistake(
        Quirks(updates_in_inference=True),
        "moves the moving statistics in inference (training flag)",
    ),
    _Mistake(
        Quirks(other_phase=True, updates_in_inference=True),
        "behaves as in training: output and updates (training flag)",
    ),
    _Mistake(
        Quirks(bessel=False),
        "moves moving_variance towards the biased population variance, without Bessel's factor "
        "n / (n - 1)",
    ),
    _Mistake(
        Quirks(bessel=True),
        "moves moving_variance towards the sample variance, with Bessel's factor n / (n - 1)",
    ),
    _Mistake(
        Quirks(clamp=False),
        "uses epsilon as given, without the fused kernel's lower bound 1.001e-5 (epsilon clamp)",
    ),
    _Mistake(
        Quirks(clamp=True),
        "raises epsilon to the fused kernel's lower bound 1.001e-5 (epsilon clamp)",
    ),
    _Mistake(
        Quirks(epsilon_outside_root=True),
        "adds epsilon to the standard deviation, not to the variance under the root",
    ),
    _Mistake(
        Quirks(swapped_momentum=True),
        "takes momentum for the share of the new batch: PyTorch's convention, 1 - momentum "
        "(momentum convention)",
    ),
    _Mistake(
        Quirks(ghosts="consecutive"),
        "groups ghost batches of consecutive rows instead of interleaved ones (ghost grouping)",
    ),
    _Mistake(Quirks(ghosts="none"), "makes no ghost batches at all (ghost grouping)"),
    _Mistake(
        Quirks(swapped_batch_moments=True),
        "moves moving_mean towards the variance and moving_variance towards the mean "
        "(swapped statistics)",
    ),
    _Mistake(
        Quirks(swapped_moving=True),
        "normalizes with moving_mean and moving_variance exchanged (swapped statistics)",
    ),
    _Mistake(Quirks(swapped_parameters=True), "exchanges gamma and beta (swapped parameters)"),
    _Mistake(Quirks(no_gamma=True), "does not multiply with gamma"),
    _Mistake(Quirks(no_beta=True), "does not add beta"),
    _Mistake(Quirks(no_renorm=True), "leaves out the renorm correction r and d"),
    _Mistake(
        Quirks(renorm_after_update=True),
        "computes the renorm correction from the averages after this step's update",
    ),
    _Mistake(Quirks(no_adjustment=True), "leaves out the adjustment"),
)


class Observation(NamedTuple):
    """One step on one side: what went in and what came out.

    `after` holds the statistics that were read afterwards, `output` may be None.
    """

    norm: Norm
    inputs: Any
    before: Mapping[str, Any]
    training: bool
    output: Any
    after: Mapping[str, Any]
    dtype: str = "float32"


def likely_cause(expected: Observation, actual: Observation) -> str:
    """A sentence on what the candidate does that the reference does not, "" if not identified.

    Both sides are explained from the configuration alone, so a reference that departs from it
    (as newer TensorFlows do here and there) is named as such.
    """
    needed = {"moving_mean", "moving_variance"}
    if expected.norm.renorm:
        needed |= {"moving_stddev", "renorm_mean", "renorm_stddev"}
    if not needed <= set(expected.before):
        return ""
    theirs, ours = _explain(expected), _explain(actual)
    if ours and theirs == "":
        return f"the candidate {ours}"
    if ours == "" and theirs:
        return f"the candidate computes as configured; the reference {theirs}"
    if ours and theirs and ours != theirs:
        return f"the candidate {ours}; the reference {theirs}"
    if ours is None and theirs == "":
        return _other_constants(expected, actual)
    return ""


def _explain(seen: Observation) -> str | None:
    """ "" for right numbers, the mistake that gives them, None if none does."""
    if _fits(seen, Quirks()):
        return ""
    for mistake in _candidates():
        if _changes_something(seen, mistake.quirks) and _fits(seen, mistake.quirks):
            return mistake.does
    return None


def _candidates() -> Iterator[_Mistake]:
    yield from _MISTAKES
    default = Quirks()
    for one, two in itertools.combinations(_MISTAKES, 2):
        changed = [
            {k: v for k, v in m.quirks._asdict().items() if v != getattr(default, k)}
            for m in (one, two)
        ]
        if not set(changed[0]) & set(changed[1]):
            quirks = Quirks(**{**changed[0], **changed[1]})
            yield _Mistake(quirks, f"{one.does}, and {two.does}")


def _predicted(seen: Observation, quirks: Quirks) -> dict[str, Any]:
    result = apply(seen.norm, seen.inputs, seen.before, seen.training, quirks)
    found = {name: result.after[name] for name in seen.after if name in result.after}
    return found if seen.output is None else {"output": result.output, **found}


def _observed(seen: Observation) -> dict[str, Any]:
    return dict(seen.after) if seen.output is None else {"output": seen.output, **seen.after}


def _fits(seen: Observation, quirks: Quirks) -> bool:
    observed = _observed(seen)
    predicted = _predicted(seen, quirks)
    return all(error <= FIT for error in _errors(seen, predicted, observed).values())


def _changes_something(seen: Observation, quirks: Quirks) -> bool:
    right, wrong = _predicted(seen, Quirks()), _predicted(seen, quirks)
    return any(not error <= 2 * FIT for error in _errors(seen, right, wrong).values())


def _errors(
    seen: Observation, one: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, float]:
    """How far apart they are, in tolerances."""
    # The gradient from above has no part in what is compared here.
    size = scales(
        seen.norm, seen.inputs, seen.before, seen.training, np.ones(np.shape(seen.inputs))
    )
    found = {}
    for name in one:
        allowed = tolerance("output" if name == "output" else "state", seen.dtype)
        found[name] = difference(one[name], other[name], size.get(name)).error / allowed.error
    return found


# -- the same arithmetic with another constant ---------------------------------------------------


def _other_constants(expected: Observation, actual: Observation) -> str:
    found = [_other_epsilon(expected, actual), _other_momentum(actual)]
    return "; ".join(text for text in found if text)


def _other_epsilon(expected: Observation, actual: Observation) -> str:
    """The output is gamma / sqrt(variance + epsilon) times a centred input: solve for epsilon."""
    if actual.output is None or actual.norm.renorm or actual.norm.virtual_batch_size is not None:
        return ""
    norm = actual.norm
    axes = tuple(a for a in range(np.ndim(actual.inputs)) if a not in norm.channel_axes)
    x, y = (np.asarray(v, "float64") for v in (actual.inputs, actual.output))
    shape = [n if a in norm.channel_axes else 1 for a, n in enumerate(x.shape)]
    gamma = np.reshape(np.asarray(actual.before.get("gamma", np.ones(shape)), "float64"), shape)
    variance = np.reshape(np.asarray(actual.before["moving_variance"], "float64"), shape)
    if actual.training:
        variance = x.var(axes, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (y.std(axes, keepdims=True) / x.std(axes, keepdims=True)) / np.abs(gamma)
        epsilon = float(np.median(1.0 / gain**2 - variance))
    if (
        not np.isfinite(epsilon)
        or epsilon <= 0
        or abs(epsilon - norm.epsilon) < _SAME * norm.epsilon
    ):
        return ""
    # The bound of the fused kernel does not matter to an epsilon that was measured.
    constants = norm._replace(epsilon=epsilon, fused=False)
    solved = _fits(actual._replace(norm=constants, after={}), Quirks())
    return f"the candidate's epsilon is about {epsilon:.2g}, not {norm.epsilon:g}" if solved else ""


def _other_momentum(actual: Observation) -> str:
    """after = before + (batch - before) * rate in every channel: solve for the rate."""
    for name in ("moving_mean", "moving_variance") if actual.training else ():
        found = _momentum_of(actual, name)
        if found is not None:
            given = actual.norm.momentum
            return f"the candidate's momentum is about {found:.4g}, not {given:g}"
    return ""


def _momentum_of(actual: Observation, name: str) -> float | None:
    """The momentum by which all statistics moved, told by one of them; None if there is none."""
    target = apply(actual.norm._replace(momentum=0.0), actual.inputs, actual.before, True)
    before = np.asarray(actual.before[name], "float64")
    whole = target.after[name] - before
    if name not in actual.after or not np.any(whole):
        return None
    step = np.asarray(actual.after[name], "float64") - before
    momentum = 1.0 - float(np.vdot(step, whole) / np.vdot(whole, whole))
    if abs(momentum - actual.norm.momentum) < _SAME * abs(1.0 - actual.norm.momentum):
        return None
    constants = actual.norm._replace(momentum=momentum)
    return momentum if _fits(actual._replace(norm=constants, output=None), Quirks()) else None
