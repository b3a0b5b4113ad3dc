"""The layers that the properties are tried on: small, no two sizes alike."""

from __future__ import annotations

from typing import Any

from tests.properties.bench import Layer
from tests.reference import Norm

CLIPPED = {"rmin": 0.8, "rmax": 1.2, "dmax": 0.25}

# Batch norm proper in float64: all ranks, axes near and far, with and without gamma and beta.
PLAIN = {
    "rows": Layer(Norm(), (6, 5)),
    "rows, constant phase": Layer(Norm(), (6, 5), phase=True),
    "sequences, channels in the middle": Layer(Norm((1,)), (4, 5, 3)),
    "images, composed": Layer(Norm((3,)), (4, 3, 2, 5)),
    "images, channels first": Layer(Norm((1,)), (4, 5, 3, 2), phase=True),
    "volumes": Layer(Norm((4,)), (3, 2, 4, 1, 5), axis=-1),
    "two channel axes": Layer(Norm((1, 3)), (4, 3, 2, 5)),
    "two channel axes, swapped": Layer(Norm((1, 3)), (4, 3, 2, 5), axis=(3, -3)),
    "the batch axis is a channel axis": Layer(Norm((0,)), (3, 4, 5)),
    "no gamma": Layer(Norm(scale=False), (6, 5)),
    "no beta": Layer(Norm(center=False, epsilon=0.25), (6, 5)),
    "neither": Layer(Norm(scale=False, center=False), (6, 5)),
}
EXTENDED = {
    "adjusted": Layer(Norm(adjustment=(1.25, -0.5)), (6, 5)),
    "adjusted, channels first": Layer(Norm((1,), adjustment=(0.5, 2.0)), (4, 5, 3)),
    "adjusted, channels first, no gamma": Layer(
        Norm((1,), scale=False, adjustment=(0.5, 2.0)), (4, 5, 3)
    ),
    "ghosts": Layer(Norm(ghost=3), (6, 5)),
    "ghosts of images": Layer(Norm((3,), ghost=2), (4, 3, 2, 5), phase=True),
    "ghosts, channels first": Layer(Norm((1,), ghost=2, center=False), (4, 5, 3)),
    "renorm": Layer(Norm(renorm=True, epsilon=0.0625), (6, 5)),
    "renorm, clipped": Layer(Norm(renorm=True, **CLIPPED), (6, 5)),
    "renorm of images": Layer(Norm((3,), renorm=True, rmax=1.1), (4, 3, 2, 5), phase=True),
    "renorm, channels first": Layer(Norm((1,), renorm=True, dmax=0.5, scale=False), (4, 5, 3)),
    "renorm, adjusted": Layer(Norm(renorm=True, adjustment=(1.25, -0.5), **CLIPPED), (6, 5)),
    "moments of a subclass": Layer(Norm(), (6, 5), subclass=True),
    "moments of a subclass, channels first": Layer(
        Norm((1,)), (4, 5, 3), phase=True, subclass=True
    ),
    "moments of a subclass, renorm": Layer(Norm(renorm=True, **CLIPPED), (6, 5), subclass=True),
    "renorm of ghosts": Layer(Norm(renorm=True, ghost=3, **CLIPPED), (6, 5)),
}
IMAGES = Layer(Norm((3,), fused=True), (4, 3, 2, 5), "float32", fused=True)


def _images(**changes: Any) -> Layer:
    return IMAGES._replace(norm=IMAGES.norm._replace(**changes))


FUSED = {
    "fused": IMAGES,
    "fused, constant phase": IMAGES._replace(fused=None, phase=True),
    "fused, channels first": _images(channel_axes=(1,))._replace(shape=(4, 5, 3, 2)),
    "fused, no gamma": _images(scale=False),
    "fused, no beta": _images(center=False),
    "fused, tiny epsilon": _images(epsilon=1e-9),
}
LAYERS = {**PLAIN, **EXTENDED, **FUSED}
