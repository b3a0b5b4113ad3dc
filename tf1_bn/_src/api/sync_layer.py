# SPDX-License-Identifier: Apache-2.0
"""The layer class whose calls merge their batch statistics by themselves."""

from __future__ import annotations

import contextlib
from typing import Any

from ..kernels.moments import Moments
from ..runtime.tensorflow_v1 import Tensor
from ..scaling.merging import Merge, cross_replica, open_scope
from .layer import BatchNormalization


class SyncBatchNormalization(BatchNormalization):
    """`BatchNormalization` over the batch of all towers or replicas together.

    Calls for training stand in a `tf1_bn.cross_replica` scope of their own, which documents what is
    merged and how. Both phases use the composed kernel. Without a `name` the layer is called
    `sync_batch_normalization`, as TF1 names a layer by its class; give it the name it had where
    checkpoints of a plain layer are to be read.

    Args:
      *args: as of `BatchNormalization`.
      cross_replica: the `merge` of the scope; None takes that of a scope that is open around the
        call, otherwise merges with the towers or replicas the call stands in.
      **kwargs: as of `BatchNormalization`.

    Raises:
      TypeError: `cross_replica` cannot be called; as `BatchNormalization`.
      ValueError: as `BatchNormalization` and `tf1_bn.cross_replica`.
    """

    def __init__(self, *args: Any, cross_replica: Merge | None = None, **kwargs: Any) -> None:
        if cross_replica is not None and not callable(cross_replica):
            raise TypeError(f"`cross_replica` must be None or a callable (got {cross_replica!r}).")
        super().__init__(*args, **kwargs)
        self._merge = cross_replica

    def call(self, inputs: Any, training: Any = False) -> Tensor:
        """As of `BatchNormalization`, with the merged batch's moments in training."""
        around = self._merge is None and open_scope() is not None
        with contextlib.nullcontext() if around else cross_replica(self._merge):
            return super().call(inputs, training)

    def _moments(
        self, inputs: Tensor, reduction_axes: Any, keep_dims: bool, mask: Any = None
    ) -> Moments:
        # A layer that overrides this stays on the composed kernel in inference as well.
        return Moments(*super()._moments(inputs, reduction_axes, keep_dims, mask))

    def get_config(self) -> dict[str, Any]:
        """As of `BatchNormalization`, with `cross_replica` where it was given."""
        given = {} if self._merge is None else {"cross_replica": self._merge}
        return {**super().get_config(), **given}
