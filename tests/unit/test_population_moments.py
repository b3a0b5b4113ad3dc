"""Moments of many batches as of one, against NumPy on all values at once."""

from __future__ import annotations

import numpy as np
import pytest

from tf1_bn._src.rescue.averages.moments import (
    begun,
    merged,
    moments_of,
    standard_errors,
    with_batch,
)


def test_batches_of_one_class_each_give_the_variance_of_all() -> None:
    random = np.random.RandomState(1)
    classes = [random.normal(center, 1.0, [500, 2]) for center in (-3.0, 0.0, 3.0)]
    values = np.concatenate(classes)
    total = moments_of(classes[0], [1])
    for part in classes[1:]:
        total = merged(total, moments_of(part, [1]))
    np.testing.assert_allclose(total.mean, values.mean(0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(total.variance(False), values.var(0), rtol=1e-13)
    np.testing.assert_allclose(total.variance(True), values.var(0, ddof=1), rtol=1e-13)
    # What the mean of the batches' variances would say.
    naive = np.mean([part.var(0) for part in classes], 0)
    assert (naive < 1.2).all() and (total.variance(False) > 6.5).all()


@pytest.mark.parametrize("axes", [(0,), (1,), (-1,), (1, 3), (3, 1), (0, 1, 2, 3)])
def test_axes_of_channels(axes: tuple[int, ...]) -> None:
    values = np.random.RandomState(2).normal(50.0, 2.0, [3, 4, 2, 5]).astype(np.float32)
    others = tuple(axis for axis in range(4) if axis not in {each % 4 for each in axes})
    wide = values.astype(np.float64)
    found = moments_of(values, axes)
    np.testing.assert_allclose(found.mean, wide.mean(others).ravel(), rtol=1e-14)
    np.testing.assert_allclose(found.variance(False), wide.var(others).ravel(), atol=1e-12)


def test_chunks_and_far_values_do_not_cost_digits() -> None:
    random = np.random.RandomState(3)
    values = (random.normal(0.0, 1e-3, [2**20 + 7, 3]) + 1e4).astype(np.float64)
    found = moments_of(values, [1])
    assert found.number == len(values)
    np.testing.assert_allclose(found.variance(False), values.var(0), rtol=1e-9)


def test_half_precision_is_summed_wide() -> None:
    values = np.full([70000, 1], 300.0, np.float16)
    values[::2] += 2.0
    found = moments_of(values, [1])
    assert (found.mean[0], found.variance(False)[0]) == (301.0, 1.0)


def test_batches_without_values_count_nothing() -> None:
    running = begun(moments_of(np.zeros([0, 2]), [1]))
    full = moments_of(np.array([[1.0, 2.0], [3.0, 4.0]]), [1])
    for batch in (moments_of(np.zeros([0, 2]), [1]), full, moments_of(np.zeros([0, 2]), [1])):
        running = with_batch(running, batch)
    assert running.batches == 1
    np.testing.assert_array_equal(running.total.mean, [2.0, 3.0])
    assert all(np.isinf(each).all() for each in standard_errors(running))


def test_standard_errors_are_how_far_estimates_lie_apart() -> None:
    """Of batches of different sizes, 400 times over; the true spread is known by counting."""
    random = np.random.RandomState(4)
    told, found = [], []
    for _ in range(400):
        batches = [random.normal(5.0, 2.0, [random.randint(4, 12), 1]) for _ in range(20)]
        running = begun(moments_of(batches[0], [1]))
        for batch in batches:
            running = with_batch(running, moments_of(batch, [1]))
        told.append([each[0] for each in standard_errors(running)])
        found.append([running.total.mean[0] / 2.0, running.total.variance(False)[0] / 4.0])
    np.testing.assert_allclose(np.mean(told, 0), np.std(found, 0), rtol=0.12)


def test_a_channel_of_one_value_has_no_error() -> None:
    running = begun(moments_of(np.ones([2, 1]), [1]))
    for _ in range(3):
        running = with_batch(running, moments_of(np.full([2, 1], 0.1), [1]))
    assert [each[0] for each in standard_errors(running)] == [0.0, 0.0]
