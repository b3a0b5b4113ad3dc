# SPDX-License-Identifier: Apache-2.0
"""What a recalibration has changed, layer by layer, as numbers and as a table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...files.text_table import counted, fitted, printable, wrapped

_WIDTH = 80


class Statistics(NamedTuple):
    """The two averages of a layer, as the variables hold them."""

    mean: Any
    variance: Any


class RecalibratedLayer(NamedTuple):
    """One layer.

    Attributes:
      name: the scope of its variables.
      phase: in which phases the graph has it: "training", "inference" or "switched".
      before, after: its averages.
      variance: "sample" or "population": whose variance it keeps.
      values: how many were measured in each channel.
      batches: how many batches they came in.
      mean_error: the greatest standard error of a mean, in standard deviations of its channel.
      variance_error: the greatest one of a variance, relative to it. Infinite from one batch.
    """

    name: str
    phase: str
    before: Statistics
    after: Statistics
    variance: str
    values: int
    batches: int
    mean_error: float
    variance_error: float

    @property
    def error(self) -> float:
        """The larger of the two."""
        return max(self.mean_error, self.variance_error)


class Recalibration(NamedTuple):
    """What `tf1_bn.recalibrate` did; `print` shows it.

    Attributes:
      layers: those whose averages were set, in the order of the graph.
      left: a line for each layer that was left as it is.
      method: "layer_by_layer" or "one_pass".
      by_batch: the names of layers that always normalize by their batch, so that what stands
        behind them was measured so.
    """

    layers: tuple[RecalibratedLayer, ...]
    left: tuple[str, ...]
    method: str
    by_batch: tuple[str, ...]

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "", "moving_mean", "moving_variance", "error")]
        for layer in self.layers:
            error = "-" if np.isinf(layer.error) else f"{100 * layer.error:.2g} %"
            rows.append((layer.name, "before", *map(_range, layer.before), ""))
            rows.append(("", "after", *map(_range, layer.after), error))
        most = max((layer.batches for layer in self.layers), default=0)
        lines = [f"{counted(len(self.layers), 'layer')} from {counted(most, 'batch')}"]
        lines += fitted(rows, _WIDTH) if _fits(rows) else _stacked(rows)
        if self.by_batch:
            names = ", ".join(map(printable, self.by_batch))
            lines += wrapped(
                f"measured in training, the only phase they have here: {names}", _WIDTH
            )
        for each in self.left:
            lines += wrapped(f"left as it is: {printable(each)}", _WIDTH)
        return "\n".join(lines)


def _fits(rows: list[tuple[str, ...]]) -> bool:
    widths = [max(len(printable(cell)) for cell in column) for column in zip(*rows)]
    return sum(widths) + 2 * (len(widths) - 1) <= _WIDTH


def _stacked(rows: list[tuple[str, ...]]) -> list[str]:
    """With each name on a line of its own."""
    table = fitted([("", *row[1:]) for row in rows], None)
    names = [row[0] for row in rows]
    lines = [table[0]]
    for name, line in zip(names[1:], table[1:]):
        lines += [printable(name)] if name else []
        lines.append(line)
    return lines


def _range(array: Any) -> str:
    if not np.size(array):
        return "-"
    return f"{float(np.min(array)):.3g} to {float(np.max(array)):.3g}"
