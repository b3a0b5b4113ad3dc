# SPDX-License-Identifier: Apache-2.0
"""The 1797 handwritten digits of `data/digits.npz` (see `data/README.md`), split without chance."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, NamedTuple

import numpy as np

DATA_FILE = Path(__file__).parent / "data" / "digits.npz"
HELD_OUT_CHOICES = ("every-fifth", "last-fifth")


class Digits(NamedTuple):
    """Images are float32 `[N, 8, 8, 1]` with pixels 0..16 as counted, labels int64 `[N]`."""

    images: np.ndarray
    labels: np.ndarray


class Split(NamedTuple):
    training: Digits
    held_out: Digits


def load_digits(held_out: str = "every-fifth") -> Split:
    """Returns 1438 training and 359 held-out digits.

    Args:
      held_out: "every-fifth" holds out the images 4, 9, 14, ... of the file (counted from 0), so
        that both parts have the same mixture of writers; "last-fifth" holds out the images 1438
        to 1796, which is harder, presumably since some of their writers are in no other part.

    Raises:
      ValueError: `held_out` is neither.
    """
    if held_out not in HELD_OUT_CHOICES:
        raise ValueError(f"held_out must be one of {HELD_OUT_CHOICES}, got {held_out!r}")
    with np.load(str(DATA_FILE)) as arrays:
        images = arrays["images"].astype(np.float32)[..., np.newaxis]
        labels = arrays["labels"].astype(np.int64)
    index = np.arange(len(labels))
    is_held_out = index % 5 == 4 if held_out == "every-fifth" else index >= 1438
    return Split(
        training=Digits(images[~is_held_out], labels[~is_held_out]),
        held_out=Digits(images[is_held_out], labels[is_held_out]),
    )


def shuffled_batches(
    digits: Digits, batch_size: int, random: np.random.RandomState
) -> Iterator[Digits]:
    """Yields one epoch of full batches in random order; an incomplete last batch is left out."""
    order = random.permutation(len(digits.labels))
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield Digits(digits.images[chosen], digits.labels[chosen])


def shift_half(images: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Moves about half of the images by up to one pixel each way, filling with zeros."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="constant")
    offsets = random.randint(0, 3, size=(len(images), 2))
    offsets[random.uniform(size=len(images)) < 0.5] = 1
    return np.stack(
        [image[y : y + height, x : x + width] for image, (y, x) in zip(padded, offsets)]
    )
