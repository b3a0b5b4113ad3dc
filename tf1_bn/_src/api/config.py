# SPDX-License-Identifier: Apache-2.0
"""A layer's arguments as its `get_config` and its text tell them."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from ..plan.geometry import Geometry
from ..plan.spec import BatchNormSpec
from ..settings.constraints import Constraint
from ..settings.initializers import initializer_config
from ..settings.regularizers import L1L2
from .checks import CONSTRAINTS, INITIALIZERS, REGULARIZERS


def config_of(spec: BatchNormSpec, geometry: Geometry | None) -> dict[str, Any]:
    """The arguments by their names, without those that TF1 does not list where they are unset.

    With the `geometry` of a built layer, the axes are non-negative.
    """
    config = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    for name in INITIALIZERS:
        config[name] = initializer_config(config[name])
    for name in (*REGULARIZERS, *CONSTRAINTS):
        if isinstance(config[name], (L1L2, Constraint)):
            config[name] = initializer_config(config[name])
    if geometry is not None:
        # TF1 lists the resolved axes, but counts a ghost axis that no input has.
        config["axis"] = list(geometry.channel_axes)
    optional = ("renorm", "renorm_clipping", "renorm_momentum") if not spec.renorm else ()
    unset = [k for k in ("fused", "virtual_batch_size", "adjustment") if config[k] is None]
    kept = {key: config[key] for key in config if key not in optional and key not in unset}
    if spec.renorm:
        kept["renorm_clipping"] = spec.clipping
    return kept


def described(spec: BatchNormSpec) -> str:
    """The arguments that differ from their defaults, as in a call."""
    return ", ".join(
        f"{field.name}={getattr(spec, field.name)!r}"
        for field in dataclasses.fields(spec)
        if field.name not in INITIALIZERS and repr(getattr(spec, field.name)) != repr(field.default)
    )


def snake_case(name: str) -> str:
    """The name that TF1 gives a layer of a class of this name.

    >>> snake_case("BatchNormalization")
    'batch_normalization'
    """
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    return f"private{snake}" if snake.startswith("_") else snake
