# SPDX-License-Identifier: Apache-2.0
"""The arithmetic that a recorded call is configured for."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from ..norms import norm_from
from ..recording.model import Norm
from ..recording.recording import Call, Step


def norm_of(call: Call, step: Step) -> Norm | None:
    """The arithmetic a recorded call asks for; None where NumPy has no model of it."""
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
        names = {"decay": "momentum", "renorm_decay": "renorm_momentum"}
        config = {names.get(k, k): known(v, k) for k, v in config.items()}
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
