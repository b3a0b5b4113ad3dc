# SPDX-License-Identifier: Apache-2.0
"""Mean and variance of many batches as of one, in float64, and how far off they may be.

Batches are merged by the law of total variance: what lies between their means counts too. The mean
of the batches' variances leaves that out, and is near 0 where each batch holds one class.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

# Values that are held in float64 at a time, which bounds the memory beside a batch.
_CHUNK = 2**20


class Moments(NamedTuple):
    """Values in each channel, their mean, and the sum of their squared differences from it.

    Both are float64 `[channels]`, the last of several channel axes changing fastest.
    """

    number: int
    mean: Any
    squares: Any

    def variance(self, sample: bool) -> Any:
        """The population's variance, or that of a sample, which has a divisor one smaller."""
        return self.squares / max(self.number - (1 if sample else 0), 1)


def moments_of(values: Any, channel_axes: Sequence[int]) -> Moments:
    """The moments of an array over all axes but `channel_axes`; of no values they are 0."""
    array = np.asarray(values)
    axes = sorted(axis % array.ndim for axis in channel_axes)
    channels = int(np.prod([array.shape[axis] for axis in axes], dtype=np.int64))
    # A view: only chunks of it are copied.
    moved = np.moveaxis(array, axes, range(array.ndim - len(axes), array.ndim))
    total = Moments(0, np.zeros(channels), np.zeros(channels))
    if not array.size:
        return total
    length = len(moved) if array.ndim > len(axes) else 1
    step = max(1, _CHUNK * length // array.size)
    for start in range(0, length, step):
        part = moved[start : start + step].reshape(-1, channels).astype(np.float64)
        total = merged(total, _of_rows(part))
    return total


def _of_rows(rows: Any) -> Moments:
    mean = rows.mean(axis=0)
    differences = rows - mean
    # The second term is what rounding of the mean has added.
    rounding = np.square(differences.sum(axis=0)) / len(rows)
    squares = np.maximum(np.square(differences).sum(axis=0) - rounding, 0.0)
    return Moments(len(rows), mean, squares)


def merged(first: Moments, second: Moments) -> Moments:
    """The moments of both sets of values together, by Chan's formula."""
    if not first.number or not second.number:
        return first if first.number else second
    count = first.number + second.number
    difference = second.mean - first.mean
    mean = first.mean + difference * (second.number / count)
    between = np.square(difference) * (first.number * (second.number / count))
    return Moments(count, mean, first.squares + second.squares + between)


class Running(NamedTuple):
    """The moments of the batches so far, and what their spread from batch to batch is made of.

    Attributes:
      total: of all values so far.
      batches: how many had values.
      center: the mean of the first of them.
      sums: `[6, channels]`: n^2 times 1, m, s, m^2, m s and s^2, summed over batches with n values
        in a channel, the mean m and the mean square s, both about `center`.
    """

    total: Moments
    batches: int
    center: Any
    sums: Any


def begun(batch: Moments) -> Running:
    """What is known before the first batch, which is given for its number of channels."""
    channels = len(batch.mean)
    nothing = Moments(0, np.zeros(channels), np.zeros(channels))
    return Running(nothing, 0, batch.mean, np.zeros([6, channels]))


def with_batch(running: Running, batch: Moments) -> Running:
    """With one more batch; one without values counts nothing."""
    if not batch.number:
        return running
    center = running.center if running.batches else batch.mean
    mean = batch.mean - center
    square = batch.squares / batch.number + np.square(mean)
    terms = np.stack([np.ones_like(mean), mean, square, mean * mean, mean * square, square**2])
    return Running(
        merged(running.total, batch),
        running.batches + 1,
        center,
        running.sums + float(batch.number) ** 2 * terms,
    )


def standard_errors(running: Running) -> tuple[Any, Any]:
    """Of the mean, in standard deviations of the channel, and of the variance, relative to it.

    They come from how much batches differ, since the values in one, pixels of an image say, are no
    independent draws. Infinite before the second batch, 0 in a channel of equal values.

    Returns:
      Two float64 arrays `[channels]`.
    """
    count, batches = running.total.number, running.batches
    variance = running.total.variance(sample=False)
    if batches < 2:
        return np.full_like(variance, np.inf), np.full_like(variance, np.inf)
    ones, means, squares, means2, both, squares2 = running.sums
    shift = running.total.mean - running.center
    rest = np.square(shift) - variance
    of_mean = means2 - 2 * shift * means + np.square(shift) * ones
    # Of a batch's mean square about the mean of all, which is linear in what was summed.
    of_square = (
        squares2
        + 4 * np.square(shift) * means2
        + np.square(rest) * ones
        - 4 * shift * both
        + 2 * rest * squares
        - 4 * shift * rest * means
    )
    factor = np.sqrt(batches / (batches - 1.0)) / count
    deviation = np.sqrt(variance)
    return (
        _ratio(factor * np.sqrt(np.maximum(of_mean, 0.0)), deviation),
        _ratio(factor * np.sqrt(np.maximum(of_square, 0.0)), variance),
    )


def _ratio(error: Any, size: Any) -> Any:
    return np.divide(error, size, out=np.zeros_like(error), where=size > 0)
