# SPDX-License-Identifier: Apache-2.0
"""Batch renormalization (arXiv 1702.03275): the correction that ties a batch to the averages."""

from __future__ import annotations

from typing import Any, Mapping

from ..runtime.tensorflow_v1 import Tensor, scalar, tf
from .moments import Affine, Moments


def renorm_correction(
    batch: Moments,
    renorm_mean: Tensor,
    renorm_stddev: Tensor,
    epsilon: Any,
    clipping: Mapping[str, Any],
) -> Affine:
    """r = sqrt(variance + epsilon) / R and d = (mean - renorm_mean) / R, clipped, no gradient.

    R is renorm_stddev, at least sqrt(epsilon). Without clipping, x_hat * r + d is what normalizing
    with the averages would have given.

    Args:
      batch: the moments of the batch.
      renorm_mean: its moving average before this step's update.
      renorm_stddev: likewise for the standard deviation.
      epsilon: added to the variance.
      clipping: numbers or scalar tensors under `rmin`, `rmax` (bounds of r) and `dmax` (bound of
        the absolute value of d); a missing key does not clip.

    Returns:
      r as the scale and d as the offset, of the shape and dtype of the moments.
    """
    dtype = batch.mean.dtype
    averaged_stddev = tf.maximum(renorm_stddev, scalar(epsilon, dtype) ** 0.5)
    r = batch_stddev(batch, epsilon) / averaged_stddev
    d = (batch.mean - renorm_mean) / averaged_stddev
    bounds = {key: scalar(value, dtype) for key, value in clipping.items() if value is not None}
    if "rmin" in bounds:
        r = tf.maximum(r, bounds["rmin"])
    if "rmax" in bounds:
        r = tf.minimum(r, bounds["rmax"])
    if "dmax" in bounds:
        d = tf.minimum(tf.maximum(d, -bounds["dmax"]), bounds["dmax"])
    return Affine(
        scale=tf.stop_gradient(r, name="renorm_r"), offset=tf.stop_gradient(d, name="renorm_d")
    )


def batch_stddev(batch: Moments, epsilon: Any) -> Tensor:
    """sqrt(variance + epsilon): the standard deviation that renorm averages."""
    return tf.sqrt(batch.variance + scalar(epsilon, batch.variance.dtype))


def renorm_schedule(step: Any, scale: float = 1.0) -> dict[str, Tensor]:
    """The paper's ramp of the clipping bounds, to be passed as `renorm_clipping`.

    rmax = 1 and dmax = 0, which is plain batch norm, for 5000 steps; then linearly to rmax = 3 at
    step 40000 and dmax = 5 at step 25000 (arXiv 1702.03275). rmin is 1 / rmax.

    Args:
      step: a scalar tensor or variable counting training steps, such as the global step.
      scale: stretches or, below 1, shrinks all step counts.

    Returns:
      float32 scalar tensors under `rmin`, `rmax` and `dmax`.

    Raises:
      ValueError: `scale` is not positive.
    """
    if not scale > 0:
        raise ValueError(f"`scale` must be positive (got {scale!r}).")
    with tf.name_scope("renorm_schedule"):
        now = tf.cast(step, tf.float32) / scale

        def ramp(last_step: float) -> Tensor:
            return tf.clip_by_value((now - 5000.0) / (last_step - 5000.0), 0.0, 1.0)

        rmax = 1.0 + 2.0 * ramp(40000.0)
        return {"rmin": 1.0 / rmax, "rmax": rmax, "dmax": 5.0 * ramp(25000.0)}
