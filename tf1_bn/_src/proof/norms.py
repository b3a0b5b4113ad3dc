# SPDX-License-Identifier: Apache-2.0
"""From the arguments of a batch norm to the arithmetic that NumPy models."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..plan.contract import contract_of
from ..plan.geometry import geometry_of
from ..plan.spec import BatchNormSpec
from .recording.model import Norm

_OF_SPEC = ("axis", "renorm", "fused", "virtual_batch_size")


def norm_from(config: Mapping[str, Any], shape: Sequence[int], dtype: str) -> Norm:
    """Returns what `tf1_bn.batch_normalization` computes with the arguments in `config`.

    Args:
      config: arguments by name, numbers and no tensors; TF1's defaults for those that it lacks.
        With an `adjustment` the composed kernel runs, which the caller adds to the norm.
      shape: of the input.
      dtype: of the input.

    Raises:
      TypeError, ValueError: the arguments are wrong, or do not fit the shape.
    """
    spec = BatchNormSpec(**{name: config[name] for name in _OF_SPEC if name in config})
    geometry = geometry_of(spec, tuple(shape), dtype)
    clipping = config.get("renorm_clipping") or {}
    return Norm(
        channel_axes=geometry.channel_axes,
        momentum=float(config.get("momentum", 0.99)),
        epsilon=float(config.get("epsilon", 1e-3)),
        fused=contract_of(spec, geometry).fused and config.get("adjustment") is None,
        renorm=bool(config.get("renorm", False)),
        clipping={key: float(value) for key, value in clipping.items() if value is not None},
        renorm_momentum=float(config.get("renorm_momentum", 0.99)),
        virtual_batch_size=config.get("virtual_batch_size"),
    )
