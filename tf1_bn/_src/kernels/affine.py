# SPDX-License-Identifier: Apache-2.0
"""What a caller's `adjustment` multiplies and adds, in the kernel where it can be part of one."""

from __future__ import annotations

from ..plan.geometry import Geometry
from ..runtime.tensorflow_v1 import Tensor, tf
from .batch import add, fitted, shaped
from .moments import Affine


def split(adjustment: Affine, learned: Affine, geometry: Geometry) -> tuple[Affine, Affine | None]:
    """What the kernel multiplies and adds for each channel, and what comes after it.

    Args:
      adjustment: what comes first, broadcasting to the input. It can be part of the kernel only if
        it is one number for each channel.
      learned: what follows it, of the shape of the variables.
      geometry: of the input.
    """
    per_channel = [list(geometry.broadcast_shape)]
    if geometry.channels_last:
        per_channel.append(list(geometry.param_shape))
    shapes = [value.shape for value in adjustment if value is not None]
    if all(shape.ndims is not None and shape.as_list() in per_channel for shape in shapes):
        return learned.after(*shaped(adjustment, geometry)), None
    return Affine(None, None), fitted(learned, geometry).after(*adjustment)


def apply_affine(outputs: Tensor, affine: Affine) -> Tensor:
    """outputs * scale + offset, named `batchnorm/add_1`; arithmetic in the dtype of the affine."""
    dtype = outputs.dtype
    with tf.name_scope("batchnorm"):
        wide = outputs
        if affine.scale is not None:
            wide = tf.cast(wide, affine.scale.dtype) * affine.scale
        if affine.offset is not None:
            wide = tf.cast(wide, affine.offset.dtype)
            wide = add(wide, affine.offset, "add_1" if wide.dtype == dtype else "wide_sum")
        return wide if wide.dtype == dtype else tf.cast(wide, dtype, name="add_1")
