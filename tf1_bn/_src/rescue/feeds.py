# SPDX-License-Identifier: Apache-2.0
"""Feed dicts from an `.npz` file: an array for each placeholder, by its name."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ..discovery.reading.nodes import View, shape_of
from ..doctor.facts.reach import needed
from ..files.whole_files import open_regular

_MOST_BYTES = 2**40
_BATCH = 64
# Of what NumPy and its archives raise; the last two are of encrypted and unknown ones.
_DAMAGED = (
    *(ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error),
    *(RuntimeError, NotImplementedError),
)


class Feeds(NamedTuple):
    """Feed dicts that are made one by one, as often as they are asked for.

    Attributes:
      whole: tensors that each batch gets as they are, by name.
      sliced: those that each batch gets some examples of.
      size: examples in a batch.
      examples: how many there are; what does not fill a batch counts where it may be smaller.
    """

    whole: Mapping[str, Any]
    sliced: Mapping[str, Any]
    size: int
    examples: int

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, self.examples, self.size):
            end = min(start + self.size, self.examples)
            yield {**self.whole, **{name: a[start:end] for name, a in self.sliced.items()}}

    def __len__(self) -> int:
        return -(-self.examples // self.size)


def arrays_in(path: str) -> dict[str, Any]:
    """The arrays of an `.npz` file by name.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no `.npz` file of numbers, or damaged.
    """
    try:
        with open_regular(path, _MOST_BYTES) as opened, np.load(opened, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise ValueError("it holds a single array; write it with numpy.savez")
            return {name: file[name] for name in file.files}
    except MemoryError:
        raise ValueError(f"{path}: it needs more memory than there is") from None
    except _DAMAGED as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: no whole .npz file of arrays: {line}") from None


def feeds_of(
    view: View,
    inputs: Sequence[str],
    switches: Sequence[str],
    arrays: Mapping[str, Any],
    size: int | None,
) -> Feeds:
    """Feed dicts for a graph.

    Args:
      view: the graph.
      inputs: what is to be computed, `name:0` each.
      switches: the bool tensors that need no array.
      arrays: by the names of tensors, or of their ops; one without axes is fed as it is.
      size: examples in a batch; None for what the graph says, or 64.

    Raises:
      ValueError: the graph has no such tensor, a placeholder has no array, or the arrays differ in
        their number of examples.
    """
    given = {(name if ":" in name else f"{name}:0"): array for name, array in arrays.items()}
    computed = needed(view, [name.rpartition(":")[0] for name in inputs], controls=False)
    open_ones = [f"{name}:0" for name in sorted(computed) if view.nodes[name].op == "Placeholder"]
    known = [name for name in open_ones if name not in switches]
    unknown = [name for name in given if name.rpartition(":")[0] not in view.nodes]
    lacking = [name for name in known if name not in given]
    if unknown or lacking:
        told = f"no array for {', '.join(lacking)}" if lacking else f"no tensor {unknown[0]}"
        names = ", ".join(name.rpartition(":")[0] for name in known) or "none"
        raise ValueError(f"{told}; the placeholders to name the arrays by: {names}")
    sliced = {name: array for name, array in given.items() if np.ndim(array)}
    lengths = {name: len(array) for name, array in sliced.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"all arrays must have as many examples (got {lengths}).")
    (examples,) = set(lengths.values())
    fixed = _fixed_size(view, sliced)
    if fixed and size not in (None, fixed):
        raise ValueError(f"the graph takes batches of {fixed} examples only (got {size}).")
    if fixed:
        # What is left over does not fit.
        examples -= examples % fixed
    whole = {name: array for name, array in given.items() if name not in sliced}
    return Feeds(whole, sliced, fixed or size or _BATCH, examples)


def _fixed_size(view: View, names: Mapping[str, Any]) -> int | None:
    for name in names:
        shape = shape_of(view, (name.rpartition(":")[0], int(name.rpartition(":")[2])))
        if shape and shape[0] is not None:
            return shape[0]
    return None
