# SPDX-License-Identifier: Apache-2.0
"""Names the likely cause of a difference: which known mistake gives exactly these numbers."""

from __future__ import annotations

import itertools
from typing import Any, Iterator, Mapping, NamedTuple

import numpy as np

from .recording.model import Norm, apply, broad, moments
from .recording.scales import scales
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

# By what a mistake does: the fields of the norm that it changes.
_MISTAKES: Mapping[str, Mapping[str, Any]] = {
    "does not move the moving statistics (update ops not run, or training flag False)": {
        "no_updates": True
    },
    "normalizes with the statistics of the other phase (training flag)": {"other_phase": True},
    "behaves as in the other phase: output and updates (training flag)": {
        "other_phase": True,
        "no_updates": True,
    },
    "moves the moving statistics in inference (training flag)": {"updates_in_inference": True},
    "behaves as in training: output and updates (training flag)": {
        "other_phase": True,
        "updates_in_inference": True,
    },
    "moves moving_variance towards the biased population variance, without Bessel's factor "
    "n / (n - 1)": {"bessel": False},
    "moves moving_variance towards the sample variance, with Bessel's factor n / (n - 1)": {
        "bessel": True
    },
    "uses epsilon as given, without the fused kernel's lower bound 1.001e-5 (epsilon clamp)": {
        "clamp": False
    },
    "raises epsilon to the fused kernel's lower bound 1.001e-5 (epsilon clamp)": {"clamp": True},
    "adds epsilon to the standard deviation, not to the variance under the root": {
        "epsilon_outside_root": True
    },
    "takes momentum for the share of the new batch: PyTorch's convention, 1 - momentum "
    "(momentum convention)": {"swapped_momentum": True},
    "groups ghost batches of consecutive rows instead of interleaved ones (ghost grouping)": {
        "consecutive_ghosts": True
    },
    "makes no ghost batches at all (ghost grouping)": {"virtual_batch_size": None},
    "moves moving_mean towards the variance and moving_variance towards the mean "
    "(swapped statistics)": {"swapped_batch_moments": True},
    "normalizes with moving_mean and moving_variance exchanged (swapped statistics)": {
        "swapped_moving": True
    },
    "exchanges gamma and beta (swapped parameters)": {"swapped_parameters": True},
    "does not multiply with gamma": {"no_gamma": True},
    "does not add beta": {"no_beta": True},
    "leaves out the renorm correction r and d": {"renorm": False},
    "computes the renorm correction from the averages after this step's update": {
        "renorm_after_update": True
    },
    "leaves out the adjustment": {"adjustment": None},
}


class Observation(NamedTuple):
    """One step on one side: what went in and what came out.

    norm: the arithmetic asked for. inputs: of any shape. before: the variables by name, each with
    a value a channel. output: of the input's shape, None if it is not looked at. after: the
    statistics that were read afterwards, by name. dtype: of the input, as the layer got it.
    """

    norm: Norm
    inputs: Any
    before: Mapping[str, Any]
    training: bool
    output: Any
    after: Mapping[str, Any]
    dtype: str = "float32"


def likely_cause(expected: Observation, actual: Observation) -> str:
    """Returns what the candidate does that the reference does not, "" if that is not known.

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
        found = [_other_epsilon(actual), _other_momentum(actual)]
        return "; ".join(text for text in found if text)
    return ""


def _explain(seen: Observation) -> str | None:
    """ "" for right numbers, the mistake that gives them, None if none does."""
    size = _sizes(seen)
    right, observed = _predicted(seen, seen.norm), {**seen.after, "output": seen.output}
    if _agree(FIT, seen, right, observed, size):
        return ""
    for does, changes in _candidates():
        wrong = _predicted(seen, seen.norm._replace(**changes))
        fits = _agree(FIT, seen, wrong, observed, size)
        # What changes nothing explains nothing.
        if fits and not _agree(2 * FIT, seen, right, wrong, size):
            return does
    return None


def _candidates() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each mistake, and then each pair of mistakes that go together."""
    yield from _MISTAKES.items()
    for (one, changes), (two, more) in itertools.combinations(_MISTAKES.items(), 2):
        if not set(changes) & set(more):
            yield f"{one}, and {two}", {**changes, **more}


def _fits(seen: Observation) -> bool:
    """Whether its norm gives the numbers that were seen."""
    observed = {**seen.after, "output": seen.output}
    return _agree(FIT, seen, _predicted(seen, seen.norm), observed, _sizes(seen))


def _predicted(seen: Observation, norm: Norm) -> dict[str, Any]:
    """What `norm` gives for those of the results that were looked at."""
    output, after = apply(norm, seen.inputs, seen.before, seen.training)
    found = {name: after[name] for name in seen.after if name in after}
    return found if seen.output is None else {**found, "output": output}


def _sizes(seen: Observation) -> dict[str, Any]:
    return scales(seen.norm, seen.inputs, seen.before, seen.training)


def _agree(
    limit: float,
    seen: Observation,
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    size: Mapping[str, Any],
) -> bool:
    """Whether what is in `one` is within `limit` tolerances of the same in `other`."""
    for name in one:
        allowed = tolerance("output" if name == "output" else "state", seen.dtype)
        error = difference(one[name], other[name], size.get(name)).error
        # It may be NaN.
        if not error / allowed.error <= limit:
            return False
    return True


# -- the same arithmetic with another constant ---------------------------------------------------


def _other_epsilon(actual: Observation) -> str:
    """The output is gamma / sqrt(variance + epsilon) times a centred input: solve for epsilon."""
    norm = actual.norm
    if actual.output is None or norm.renorm or norm.virtual_batch_size is not None:
        return ""
    x, y = (np.asarray(v, "float64") for v in (actual.inputs, actual.output))
    axes, values = broad(norm, x, actual.before)
    variance = moments(x, axes)[1] if actual.training else values["moving_variance"]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = y.std(axes, keepdims=True) / x.std(axes, keepdims=True)
        gain = spread / np.abs(values.get("gamma", 1.0))
        epsilon = float(np.median(1.0 / gain**2 - variance))
    is_other = abs(epsilon - norm.epsilon) >= _SAME * norm.epsilon
    if not (np.isfinite(epsilon) and epsilon > 0 and is_other):
        return ""
    # The bound of the fused kernel does not matter to an epsilon that was measured.
    other = norm._replace(epsilon=epsilon, fused=False)
    solved = _fits(actual._replace(norm=other, after={}))
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
    _, target = apply(actual.norm._replace(momentum=0.0), actual.inputs, actual.before, True)
    before = np.asarray(actual.before[name], "float64")
    whole = target[name] - before
    if name not in actual.after or not np.any(whole):
        return None
    step = np.asarray(actual.after[name], "float64") - before
    momentum = 1.0 - float(np.vdot(step, whole) / np.vdot(whole, whole))
    if abs(momentum - actual.norm.momentum) < _SAME * abs(1.0 - actual.norm.momentum):
        return None
    other = actual.norm._replace(momentum=momentum)
    return momentum if _fits(actual._replace(norm=other, output=None)) else None
