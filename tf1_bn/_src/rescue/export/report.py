# SPDX-License-Identifier: Apache-2.0
"""What was exported, what was done for it, and what proves it."""

from __future__ import annotations

from typing import NamedTuple

from ...files.text_table import aligned, counted, printable, wrapped
from ..trial.trial import Measured

_WIDTH = 80
_SHOWN = 8


class ExportReport(NamedTuple):
    """The report of an export; `str` of it is to be read.

    Attributes:
      path: the file or folder that was written.
      format: "graph_def", "saved_model" or "tflite".
      inputs: the tensors that are fed, by the names of the signature.
      outputs: the tensors that are wanted, likewise.
      layers: the names of the layers that normalize, or did before they were folded.
      settings: what was set for good, as "training:0 = False".
      forced: the layers that were built with training=True and had to be rewritten.
      folded: pairs of a layer and the op that holds it now.
      kept: pairs of a layer that was not folded, and why.
      rows: the greatest difference of a row with other companions; None where it was not tested.
      session: the greatest difference to the session in inference; None where it has none.
      formula: the greatest difference of a layer in `forced` to what its moving statistics give by
        the formula of inference; None without such layers.
      unfolded: the greatest difference to the graph before folding; None without folding.
      largest: the largest absolute output, which the differences are to be seen beside.
      measured: sizes and times, before and after.
      notes: what was not tested, and why.
    """

    path: str
    format: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    layers: tuple[str, ...]
    settings: tuple[str, ...]
    forced: tuple[str, ...]
    folded: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]
    rows: float | None
    session: float | None
    formula: float | None
    unfolded: float | None
    largest: float
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.format} for inference, {counted(len(self.layers), 'layer')}"]
        lines += [f"  in   {name}: {tensor}" for name, tensor in self.inputs.items()]
        lines += [f"  out  {name}: {tensor}" for name, tensor in self.outputs.items()]
        lines += [f"  set  {each}" for each in self.settings]
        lines += [f"  rewritten from training=True: {each}" for each in self.forced]
        if self.unfolded is not None:
            lines += [f"  folded: {len(self.folded)} of {len(self.folded) + len(self.kept)}"]
        lines += _some([f"    {layer} into {op}" for layer, op in self.folded])
        lines += _some([f"    not {layer}: {why}" for layer, why in self.kept])
        lines += ["  proof, of the file loaded in a new process:"]
        lines += ["    no batch statistic is left"]
        lines += [_difference("a row beside other rows", self.rows, self.largest)]
        lines += [_difference("to the session", self.session, self.largest)]
        if self.formula is not None:
            lines += [
                f"    a rewritten layer to the formula of inference: {self.formula:.1e} at most"
            ]
        if self.unfolded is not None:
            lines += [_difference("to the graph before folding", self.unfolded, self.largest)]
        lines += [f"    note: {each}" for each in self.notes]
        rows = [("", "nodes", "bytes", "ms a batch"), *(_row(each) for each in self.measured)]
        lines += [f"  {line}" for line in aligned(rows, right=(1, 2, 3))]
        return "\n".join(part for line in lines for part in wrapped(printable(line), _WIDTH))


# Pickles name what users know.
ExportReport.__module__ = "tf1_bn"


def _some(lines: list[str]) -> list[str]:
    if len(lines) <= _SHOWN:
        return lines
    return [*lines[:_SHOWN], f"    and {len(lines) - _SHOWN} more"]


def _difference(what: str, number: float | None, largest: float) -> str:
    if number is None:
        return f"    {what}: not tested"
    return f"    {what}: {number:.1e} at most, of outputs up to {largest:.3g}"


def _row(each: Measured) -> tuple[str, str, str, str]:
    nodes = "" if each.nodes is None else str(each.nodes)
    time = "" if each.milliseconds is None else f"{each.milliseconds:.2f}"
    return each.name, nodes, str(each.size), time
