# SPDX-License-Identifier: Apache-2.0
"""How old the averages of a session's layers are, and how far they are from a batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Tuple

import numpy as np

from ...files.text_table import fitted, wrapped
from .batches import Batches, batches_of
from .layers import Layer, Statistics, check_session, is_whole, layers_of, read_all, run_in
from .summaries import summary_of

_WIDTH, _MOST_NAMES = 80, 4
# Below this share of what they begin with, one batch does not tell how much is left.
_LEAST_SHARE = 0.05
# In deviations, and as a ratio of variances, with room for what batches differ by.
_FAR, _RATIO = 0.5, 2.0
_HEAD = ("layer", "momentum", "age", "known by", "mean off by", "variance")


class LayerHealth(NamedTuple):
    """What is known of a layer.

    Attributes:
      layer: the scope of its variables.
      momentum: None where no update op shows it.
      age: of the averages in time constants: exp(-age) of them is the 0 and 1 they began with.
        None where it is not known.
      known_by: how the age is known: "still 0 and 1", "updates given", "estimate by the batch",
        "at most, by global_step", or "".
      mean_drift: the root of the mean square, over the channels, of how far the batch's mean is
        from the moving mean, in moving standard deviations; None without a batch.
      variance_ratio: the batch's variance over the moving variance, the geometric mean of the
        channels; None without a batch.
      suggestion: what to do, "" for nothing.
      statistics: the moving mean and variance, float64 arrays of the channels.
    """

    layer: str
    momentum: float | None
    age: float | None
    known_by: str
    mean_drift: float | None
    variance_ratio: float | None
    suggestion: str
    statistics: Statistics


class Health(Tuple[LayerHealth, ...]):
    """The layers in the order of the graph, which print as a table of at most 80 columns."""

    def __str__(self) -> str:
        if not self:
            return "no batch normalization with moving statistics"
        lines = fitted([_HEAD, *map(_row, self)], _WIDTH)
        said: dict[str, list[str]] = {}
        for each in self:
            if each.suggestion:
                said.setdefault(each.suggestion, []).append(each.layer)
        for suggestion, names in said.items():
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            listed = ", ".join(names[:_MOST_NAMES]) + more
            lines += wrapped(f"{listed}: {suggestion}", _WIDTH)
        return "\n".join(lines)

    def summary(self) -> Any:
        """The same as a `tf.Summary` for `tf.summary.FileWriter.add_summary`.

        Below each layer's name: the scalars `age`, `mean_drift` and `variance_ratio` as far as they
        are known, and the histograms `moving_mean` and `moving_variance`.
        """
        scalars = ("age", "mean_drift", "variance_ratio")
        return summary_of(
            {f"{h.layer}/{name}": getattr(h, name) for h in self for name in scalars},
            {
                f"{h.layer}/moving_{name}": getattr(h.statistics, name)
                for h in self
                for name in ("mean", "variance")
            },
        )


def health(session: Any, feed_dict: Any = None, updates: int | None = None) -> Health:
    """How the moving statistics of all layers in a session's graph are, of whatever library.

    Reads variables, and changes neither them nor the graph.

    Args:
      session: a `tf.Session`, or a session of `tf.train` that is monitored.
      feed_dict: what one run of the network is fed, with the phase as in training; then the inputs
        of the layers are computed once, and compared with the averages. `{}` for a network that
        reads its input itself, which uses up one batch. None for no batch.
      updates: how often the updates ran since the averages began, if the program counts.

    Returns:
      A tuple of what is known of each layer, whose text is a table.

    Raises:
      TypeError: `session` is no session; `feed_dict` is no dict, or has a key that is no tensor of
        the graph; `updates` is no whole number.
      ValueError: a value of `feed_dict` does not fit its tensor; `updates` is below 0.
      RuntimeError: the session is closed.
      tf.errors.FailedPreconditionError: its variables are not initialized.
    """
    check_session(session)
    if updates is not None and not is_whole(updates):
        raise TypeError(f"`updates` must be a whole number (got {updates!r}).")
    if updates is not None and updates < 0:
        raise ValueError(f"`updates` must be 0 or more (got {updates!r}).")
    layers = layers_of(session.graph)
    steps = _global_step(session)
    batches = Batches({}, {}) if feed_dict is None else batches_of(session, layers, feed_dict)
    now = read_all(session, layers)
    return Health(_health(each, now[each.name], batches, updates, steps) for each in layers)


def _global_step(session: Any) -> int | None:
    found = session.graph.get_collection("global_step")
    return int(run_in(session, found[0])) if len(found) == 1 else None


def _health(
    layer: Layer,
    now: Statistics,
    batches: Batches,
    updates: int | None,
    steps: int | None,
) -> LayerHealth:
    batch = batches.known.get(layer.name)
    age, known_by = _age(layer, now, batch, updates, steps)
    drift = ratio = None
    if batch is not None and now.are_sound():
        drift, ratio = drift_of(now, batch), ratio_of(now, batch)
    momentum = None if layer.rate is None else round(1.0 - layer.rate, 6)
    told = _suggestion(now, age, known_by, drift, ratio)
    unfed = ", ".join(map(repr, batches.unfed.get(layer.name, ())))
    if unfed:
        feed = f"feed {unfed} as well, to compare the averages with the batch"
        told = f"{told}; {feed}" if told else feed
    return LayerHealth(layer.name, momentum, age, known_by, drift, ratio, told, now)


def _age(
    layer: Layer,
    now: Statistics,
    batch: Statistics | None,
    updates: int | None,
    steps: int | None,
) -> tuple[float | None, str]:
    if now.are_begun():
        return 0.0, "still 0 and 1"
    if updates is not None:
        age = layer.age(updates)
        return age, "updates given" if age is not None else ""
    by_mean = bool(layer.found.variables.renorm)
    left = None if batch is None or not now.are_sound() else share_left(now, batch, by_mean)
    if left is not None:
        return -math.log(max(left, _LEAST_SHARE)), "estimate by the batch"
    if steps is not None and layer.age(steps) is not None:
        return layer.age(steps), "at most, by global_step"
    return None, ""


def share_left(now: Statistics, batch: Statistics, by_mean: bool) -> float | None:
    """How much of averages is the 0 and 1 they began with, if every batch was like this one.

    Args:
      now: the averages.
      batch: what they would end at.
      by_mean: whether only the mean counts; renorm averages deviations, and not the variance.

    Returns:
      From 0 to 1, by least squares over the channels; None where the batch itself is 0 and 1.
    """
    begun = Statistics(np.zeros_like(now.mean), np.ones_like(now.variance))
    parts = 1 if by_mean else 2
    moving, towards, start = (np.concatenate(each[:parts]) for each in (now, batch, begun))
    way = start - towards
    length = float(way @ way)
    if not length or not np.isfinite(length):
        return None
    return float(np.clip((moving - towards) @ way / length, 0.0, 1.0))


def drift_of(now: Statistics, batch: Statistics) -> float:
    """The root of the mean square, in moving standard deviations."""
    squares = (batch.mean - now.mean) ** 2 / np.maximum(now.variance, np.finfo(np.float32).tiny)
    return float(np.sqrt(np.mean(squares)))


def ratio_of(now: Statistics, batch: Statistics) -> float:
    """The geometric mean over the channels whose variances are above 0; 1 for none."""
    both = (now.variance > 0.0) & (batch.variance > 0.0)
    logs = np.log(batch.variance[both]) - np.log(now.variance[both])
    return float(np.exp(np.mean(logs))) if logs.size else 1.0


def _suggestion(
    now: Statistics, age: float | None, known_by: str, drift: float | None, ratio: float | None
) -> str:
    if not now.are_sound():
        return "not finite, or a variance below 0: go back to a checkpoint before (BN502)"
    if known_by == "still 0 and 1":
        return "never moved: run the update ops in training (BN110), or restore a checkpoint"
    if age is not None and age < 1.0:
        left = f"{math.exp(-age):.0%} of the averages is the 0 and 1 they began with"
        return f"{left}: train longer before you evaluate, or take a smaller momentum (BN504)"
    far = drift is not None and drift > _FAR
    if far or (ratio is not None and not 1.0 / _RATIO <= ratio <= _RATIO):
        return (
            "the averages are not those of this batch: train longer, take a smaller momentum, or "
            "see whether the data differ"
        )
    return ""


def _row(health: LayerHealth) -> tuple[str, ...]:
    limit = ">" if health.known_by.startswith("estimate") and _is_oldest(health.age) else ""
    return (
        health.layer,
        "?" if health.momentum is None else f"{health.momentum:g}",
        "?" if health.age is None else f"{limit}{health.age:.2g}",
        health.known_by or "not known",
        "-" if health.mean_drift is None else f"{health.mean_drift:.2g} sd",
        "-" if health.variance_ratio is None else f"x {health.variance_ratio:.2g}",
    )


def _is_oldest(age: float | None) -> bool:
    return age is not None and age >= -math.log(_LEAST_SHARE)
