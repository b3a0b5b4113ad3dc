# SPDX-License-Identifier: Apache-2.0
"""Scale and offset: what is multiplied with and added to the normalized input."""

from __future__ import annotations

from typing import NamedTuple

from ..plan.geometry import Geometry
from ..runtime.tensorflow_v1 import Tensor, tf


class Affine(NamedTuple):
    """y = x_hat * scale + offset; None stands for 1 and for 0."""

    scale: Tensor | None
    offset: Tensor | None

    def after(self, scale: Tensor, offset: Tensor) -> Affine:
        """The transform that first applies `scale` and `offset`, then this one."""
        if self.scale is None:
            composed_scale, composed_offset = scale, offset
        else:
            composed_scale, composed_offset = scale * self.scale, offset * self.scale
        if self.offset is not None:
            composed_offset = composed_offset + self.offset
        return Affine(composed_scale, composed_offset)


def broadcastable(value: Tensor | None, geometry: Geometry) -> Tensor | None:
    """`value` of the parameters' shape, reshaped where it would not broadcast to the input."""
    if value is None:
        return None
    rank = len(value.shape.as_list())
    last_axis_alone = geometry.channel_axes == (geometry.rank - 1,)
    if rank == geometry.rank or (rank == 1 and last_axis_alone):
        return value
    return tf.reshape(value, geometry.broadcast_shape, name="broadcastable")
