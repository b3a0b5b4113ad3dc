# SPDX-License-Identifier: Apache-2.0
"""From the arguments of a batch norm to the arithmetic that NumPy models."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from ..plan.geometry import geometry_of
from ..plan.kernel_choice import contract_of
from ..plan.spec import BatchNormSpec
from .recording.model import Norm
from .recording.recording import Call, Step

_OF_SPEC = ("axis", "renorm", "fused", "virtual_batch_size")
# Contrib's names of the layer's arguments.
_OF_CONTRIB = {"decay": "momentum", "renorm_decay": "renorm_momentum"}


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


def norm_of(call: Call, step: Step) -> Norm | None:
    """Returns the arithmetic a recorded call asks for; None where NumPy has no model of it."""
    try:
        return _norm(call, step)
    except (AttributeError, KeyError, TypeError, ValueError):
        # The configuration comes from a file, and may be anything.
        return None


def _norm(call: Call, step: Step) -> Norm | None:
    config, x = dict(call.config), step.arrays["input"]

    def known(value: Any, name: str) -> Any:
        if isinstance(value, dict) and "tensor" in value:
            return step.arrays.get(f"value/{name}", np.nan)
        return value

    if call.kind == "contrib":
        if config["batch_weights"] is not None or config["activation_fn"] is not None:
            return None
        config = {_OF_CONTRIB.get(k, k): known(v, k) for k, v in config.items()}
        config["axis"] = 1 if config["data_format"] == "NCHW" else -1
        config["virtual_batch_size"] = None
    for name in ("momentum", "epsilon", "renorm_momentum"):
        config[name] = known(config[name], name)
    config["renorm_clipping"] = {
        key: known(value, f"renorm_clipping/{key}")
        for key, value in (config["renorm_clipping"] or {}).items()
    }
    norm = norm_from(config, x.shape, call.dtype)
    adjusted = config.get("adjustment")
    if call.kind == "contrib" and x.ndim == 2:
        # Contrib gives rank 2 to the fused kernel, as rank 4 with height and width 1.
        fused = config["fused"] is not False and not config["renorm"] and call.dtype != "float64"
        norm = norm._replace(fused=fused and adjusted is None)
    return norm if adjusted is None else norm._replace(adjustment=_adjustment(adjusted, step))


def _adjustment(adjusted: Mapping[str, Any], step: Step) -> tuple[Any, Any]:
    found = [adjusted.get(k, step.arrays.get(f"value/adjustment/{k}")) for k in ("scale", "bias")]
    if any(part is None for part in found):
        raise KeyError("adjustment")
    return np.asarray(found[0], "float64"), np.asarray(found[1], "float64")
