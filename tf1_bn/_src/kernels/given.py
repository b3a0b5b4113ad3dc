# SPDX-License-Identifier: Apache-2.0
"""Normalizes with moments that are given: averages, merged ones, or those of a subclass."""

from __future__ import annotations

from typing import Any

from ..runtime.tensorflow_v1 import Tensor, tf
from .batch import Batch, Measured, add, factor_of, fitted
from .moments import Affine, Moments, mean_over_ghosts


def measure_given(batch: Batch, seen: Tensor, given: Moments) -> Measured:
    """By elementary ops, with moments from elsewhere, through which gradients flow.

    Args:
      batch: what is normalized.
      seen: the view of it that they were made for.
      given: of the shape of the variables, or for each ghost batch, broadcasting to `seen`.
    """
    ghosts = batch.ghost_size is not None
    moments = batch.settled(mean_over_ghosts(given) if ghosts else given)

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        own = given if ghosts else fitted(moments, batch.geometry)
        affine = affine if ghosts else fitted(affine, batch.geometry)
        outputs = composed_batch_norm(seen, own, affine, batch.epsilon, batch.inputs.dtype)
        return batch.unviewed(outputs), moments

    return Measured(lambda: moments, normalize)


def composed_batch_norm(
    inputs: Tensor, moments: Moments, affine: Affine, epsilon: Any, output_dtype: Any
) -> Tensor:
    """(inputs - mean) / sqrt(variance + epsilon) * scale + offset, named `batchnorm/add_1`.

    Moments and affine broadcast to the inputs. All arithmetic is in the moments' dtype, so half
    precision is rounded once, at the end.
    """
    dtype = moments.mean.dtype
    with tf.name_scope("batchnorm"):
        wide = inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
        _, factor = factor_of(moments.variance, affine, epsilon)
        shift = moments.mean * factor
        shift = -shift if affine.offset is None else affine.offset - shift
        if output_dtype == dtype:
            return add(wide * factor, shift, "add_1")
        outputs = add(wide * factor, shift, "wide_sum")
        return tf.cast(outputs, output_dtype, name="add_1")
