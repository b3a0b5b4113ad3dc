# SPDX-License-Identifier: Apache-2.0
"""What a file holds: arrays by name, and what is known of layers."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

# Libraries that values come from and go to; contrib and tf.layers are told by names alone.
TF_LAYERS, CONTRIB, KERAS, TORCH = "tf.layers", "contrib", "keras", "torch"
TENSORFLOW = "tensorflow"
# The words of tf.layers for what a layer of batch normalization holds, in the order of Keras.
ROLES = (
    *("gamma", "beta", "moving_mean", "moving_variance"),
    *("moving_stddev", "renorm_mean", "renorm_stddev"),
)


class Settings(NamedTuple):
    """Of a layer, as far as a graph or a configuration tells; None for unknown."""

    epsilon: float | None
    momentum: float | None


class Held(NamedTuple):
    """What a source holds.

    Attributes:
      kind: TENSORFLOW, KERAS or TORCH.
      arrays: by the source's own names.
      settings: by the layer's name.
      files: that were read, and that no output may replace.
    """

    kind: str
    arrays: Mapping[str, Any]
    settings: Mapping[str, Settings]
    files: tuple[str, ...]


def split(name: str) -> tuple[str, str]:
    """The scope and the last word of a name."""
    scope, _, leaf = name.rpartition("/")
    return scope, leaf


def count_of(shape: Sequence[int]) -> int:
    """How many numbers an array of a shape has, however many a file claims.

    >>> count_of((2**40, 2**40)) == 2**80, count_of(())
    (True, 1)
    """
    count = 1
    for length in shape:
        count *= int(length)
    return count


def joined(scope: str, leaf: str) -> str:
    return f"{scope}/{leaf}" if scope else leaf
