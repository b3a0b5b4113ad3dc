# SPDX-License-Identifier: Apache-2.0
"""The names that TF1 had given away in a scope of contrib before it called the activation."""

from __future__ import annotations

from typing import Any

from ..plan.geometry import Geometry
from ..plan.spec import BatchNormSpec
from ..runtime.tensorflow_v1 import tf


def take_names_of_tf1(spec: BatchNormSpec, geometry: Geometry, training: Any, fused: bool) -> None:
    """Counts on where TF1's layer made more ops of a name than ours, so that the next is numbered.

    The activation is the output, which programs fetch by its name, `bn/Relu_1` after renorm's own
    `bn/Relu`. To be called inside of the layer's op scope, which is each call's own in contrib.
    """
    graph = tf.get_default_graph()
    for name, count in _names_of(spec, geometry, training, fused).items():
        # The first has no number, the second is `name_1`.
        last = name if count == 1 else f"{name}_{count - 1}"
        for _ in range(count):
            if _is_free(last):
                graph.unique_name(name)


def _is_free(name: str) -> bool:
    asked = tf.get_default_graph().unique_name(name, mark_as_used=False)
    return bool(asked.rpartition("/")[2] == name)


def _names_of(
    spec: BatchNormSpec, geometry: Geometry, training: Any, fused: bool
) -> dict[str, int]:
    names: dict[str, int] = {}
    renorm = spec.renorm and training is not False
    scale, center, adjusted = (int(bool(x)) for x in (spec.scale, spec.center, spec.adjustment))
    adjusted *= training is not False
    # What depends on the phase alone stood inside of TF1's conditionals.
    always = int(training is True)
    if geometry.channel_axes != (geometry.rank - 1,) and not fused:
        names["Reshape"] = 2 + scale + center + 2 * renorm
    if adjusted or renorm:
        names["add"] = renorm * (1 + always) + (adjusted + renorm - 1) + center
        names["mul"] = renorm * always + 2 * scale + 2 * adjusted * renorm
    if renorm:
        clipping = {key for key, value in spec.clipping.items() if value is not None}
        names.update(
            Identity=6,
            Maximum=1 + len(clipping & {"rmin", "dmax"}),
            Minimum=len(clipping & {"rmax", "dmax"}),
            Relu=always,
            Sqrt=2 + always,
            sub=1 + always,
            truediv=2,
        )
    return {name: count for name, count in names.items() if count}
