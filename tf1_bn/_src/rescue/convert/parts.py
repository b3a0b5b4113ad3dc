# SPDX-License-Identifier: Apache-2.0
"""What a conversion moves: arrays with a name in the source and one in the words of `tf.layers`."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from .formats.held import joined, split
from .words import WORDS

# What the user said that a key is; None for nothing.
Word = Callable[[str], "str | None"]


class Part(NamedTuple):
    """One array on its way.

    Attributes:
      source: its name in the source; in parentheses where it is made of others.
      name: in the words of `tf.layers`.
      array: in TensorFlow's layout.
      kind: "norm", "other", or what only its own library needs: "slot", "counter", "shadow".
      rule: what was done, for people; "" for nothing.
      word: what the user said that it is.
    """

    source: str
    name: str
    array: Any
    kind: str
    rule: str = ""
    word: str | None = None


class Row(NamedTuple):
    """A line of the mapping: `target` is None for what is left out, and `array` is as it goes."""

    source: str
    target: str | None
    before: tuple[int, ...]
    array: Any
    rule: str
    is_norm: bool = False


class Unmatched(NamedTuple):
    """A key that no rule fits, or more than one, and why."""

    key: str
    why: str


class ConversionError(ValueError):
    """Keys that no rule fits, or more than one; lists them."""

    def __init__(self, keys: Sequence[Unmatched], total: int) -> None:
        listed = "".join(f"\n  {each.key}: {each.why}" for each in keys)
        super().__init__(
            f"no rule, or no single one, fits {len(keys)} of {total} keys; say what each is by "
            f"--rule PATTERN=WORD, a word of {', '.join(WORDS)}:{listed}"
        )


def check_norms(parts: Sequence[Part], source: str) -> None:
    """Raises ValueError where the arrays of batch normalization cannot be those of layers."""
    layers: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part.kind == "norm":
            scope, leaf = split(part.name)
            layers.setdefault(scope, {})[leaf] = part.array
    if not layers:
        raise ValueError(f"{source}: no batch normalization: no pair of moving statistics")
    for scope, arrays in layers.items():
        for leaf in ("moving_mean", "moving_variance"):
            if leaf not in arrays:
                raise ValueError(f"{source}: {scope} has no {leaf}: the statistics are not whole")
        _check_layer(scope, arrays, source)


def _check_layer(scope: str, arrays: Mapping[str, Any], source: str) -> None:
    shapes = {leaf: tuple(np.shape(array)) for leaf, array in arrays.items()}
    for leaf, array in arrays.items():
        name = joined(scope, leaf)
        if shapes[leaf] != shapes["moving_mean"] or not shapes[leaf]:
            raise ValueError(
                f"{source}: {name} has shape {shown(shapes[leaf])}, and moving_mean "
                f"{shown(shapes['moving_mean'])}; a layer's parameters have one shape"
            )
        # What bfloat16 is, NumPy does not know.
        if np.asarray(array).dtype.kind not in "fV":
            raise ValueError(f"{source}: {name} is {array.dtype}, and must be of floats")
        if not np.all(np.isfinite(np.asarray(array, np.float64))):
            raise ValueError(f"{source}: {name} holds numbers that are not finite")
    if np.any(np.asarray(arrays["moving_variance"], np.float64) < 0.0):
        raise ValueError(f"{source}: {joined(scope, 'moving_variance')} holds numbers below 0")


def shown(shape: Sequence[int]) -> str:
    """A shape for people.

    >>> shown((3, 3, 1, 8)), shown(())
    ('[3,3,1,8]', 'scalar')
    """
    return f"[{','.join(map(str, shape))}]" if shape else "scalar"
