# SPDX-License-Identifier: Apache-2.0
"""From an old model to a deployed one: repaired, measured anew, exported, each step proven."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from ..discovery.reading.nodes import shape_of
from ..discovery.reading.tracing import VARIABLES
from ..doctor.facts.case import name_of
from ..doctor.facts.finding import Findings
from ..doctor.facts.reach import needed
from ..doctor.statistics import findings_of, numbers
from ..doctor.targets import targets_of
from ..files.text_table import counted, wrapped
from ..runtime.tensorflow_v1 import tf
from .averages.held import held_in, values_in
from .averages.result import Recalibration
from .export.asked import checked_path
from .export.export import export_inference
from .feeds import arrays_in
from .models import Model, begin_averages, load, running
from .recalibrated import How, recalibrated
from .regained import regained

_ROLES = ("gamma", "beta", "moving_mean", "moving_variance")
# Of a standard deviation, or of the variance: what float32 leaves when all is measured again.
_SAME = 1e-3
_WIDTH = 80
# Examples that the exported model is tried with.
_ROWS = 32


class Wish(NamedTuple):
    """What is to be made of a model.

    Attributes:
      outputs: names of tensors, or a dict of them by the names they get.
      target: the file or folder to write.
      data: an `.npz` file with an array for each placeholder; None to keep the statistics.
      format, phase, fold: as `export_inference` has them.
      batch_size: examples in a batch of `data`.
    """

    outputs: Any
    target: str
    data: str | None = None
    format: str = "graph_def"
    phase: Any = None
    fold: bool = False
    batch_size: int | None = None


class Stopped(ValueError):
    """A step could not be proven; nothing was written."""


def rescue(source: str, wish: Wish, tell: Callable[[str], Any]) -> None:
    """Repairs, measures anew and exports a model, and stops at the first step without proof.

    Args:
      source: a checkpoint with its `.meta` file, or a frozen graph.
      wish: what is to be made of it.
      tell: is called with some lines for each step that is done.

    Raises:
      OSError: a file cannot be read or written.
      Stopped: a step could not be proven.
      ValueError: `source` or the data is damaged or does not fit, the target exists.
    """
    if os.path.lexists(wish.target):
        raise ValueError(f"{wish.target} exists: name a new one, nothing is overwritten")
    # Not after the work: whether anything can be written there.
    checked_path(wish.target, wish.format)
    (target, *others) = targets_of(source)
    if others or target.graph is None:
        raise ValueError(f"{source}: a checkpoint with its .meta file or a frozen graph is needed")
    arrays = None if wish.data is None else arrays_in(wish.data)
    names = [_tensor(name) for name in _listed(wish.outputs)]
    with tf.Graph().as_default() as graph:
        repaired = load(target.graph)
        _check_outputs(graph, names)
        shaped = graph.as_graph_def(add_shapes=True)
    tell(f"1 repair: {_repaired(repaired)}")
    found = regained(shaped, names)
    with running(found.graph_def, target.values) as model:
        begun = begin_averages(model)
        lost = _lost(model, begun)
        tell(_told_of_averages(found.rewritten, begun, lost))
        if arrays is not None:
            how = How(tuple(names), wish.batch_size)
            tell(f"3 recalibrate: {_measured(model, arrays, how, found.rewritten)}")
        elif lost or begun or found.rewritten:
            raise Stopped("3 recalibrate: the moving statistics are lost; --data measures them")
        else:
            tell("3 recalibrate: nothing is lost, and no data given")
        tell(f"4 export: {_exported(model, wish, arrays)}")


def _exported(model: Model, wish: Wish, arrays: dict[str, Any] | None) -> Any:
    """Exports with a proof on the first examples of the data, or on random numbers."""
    inputs, rows = _first_rows(model, wish, arrays or {})
    try:
        return export_inference(
            model.session,
            wish.outputs,
            wish.target,
            format=wish.format,
            phase=wish.phase,
            fold=wish.fold,
            inputs=inputs,
            batch=rows or None,
        )
    except ValueError as error:
        raise Stopped(f"4 export: {error}") from None


def _first_rows(model: Model, wish: Wish, arrays: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What is to be fed, None for all placeholders, and some rows of it; by the same keys."""
    ends = [_tensor(name).rpartition(":")[0] for name in _listed(wish.outputs)]
    computed = needed(model.view, ends, controls=False)
    read = {each for name in computed for each in model.view.nodes[name].inputs}
    # Labels are no input of what is served, and a single number is set and not fed.
    given = {
        (op, place): array
        for name, array in arrays.items()
        for op, _, place in [_tensor(name).rpartition(":")]
        if np.ndim(array) and (op, int(place)) in read
    }
    keys = {each: each[0] if each[1] == "0" else "_".join(each) for each in given}
    rows = {}
    for (op, place), array in given.items():
        sizes = shape_of(model.view, (op, int(place))) or (None,)
        rows[keys[op, place]] = array[: sizes[0] or _ROWS]
    if all(model.view.nodes[op].op == "Placeholder" for op, _ in given):
        return None, rows
    return {key: ":".join(each) for each, key in keys.items()}, rows


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _listed(outputs: Any) -> list[str]:
    return list(outputs.values()) if isinstance(outputs, dict) else list(outputs)


def _check_outputs(graph: Any, names: Sequence[str]) -> None:
    if not names:
        raise ValueError("name at least one output")
    for name in names:
        try:
            graph.as_graph_element(name, allow_operation=False)
        except (KeyError, ValueError):
            raise ValueError(f"the graph has no output {name}") from None


def _repaired(number: int) -> str:
    changed = f"{counted(number, 'node')} changed, " if number else "nothing to change, "
    return f"{changed}TensorFlow {tf.__version__} loads the graph"


def _lost(model: Model, begun: Sequence[str]) -> Findings:
    """What is wrong with the numbers that the file has: never moved, not finite."""
    graph, layers = model.session.graph, []
    for layer in model.found.layers:
        names = {r: str(n) for r, n in zip(_ROLES, layer.variables) if n is not None}
        kinds = {name: graph.get_operation_by_name(name).type for name in names.values()}
        held = held_in(graph, [name for name, kind in kinds.items() if kind in VARIABLES])
        arrays = values_in(model.session, held.values())
        constants = {name: f"{name}:0" for name in kinds if name not in held}
        arrays.update(model.session.run(constants))
        if not set(begun) & set(kinds):
            layers.append(numbers(name_of(layer), names, arrays))
    return Findings(findings_of(layers))


def _told_of_averages(rewritten: Sequence[str], begun: Sequence[str], lost: Iterable[Any]) -> str:
    lines = []
    if rewritten:
        lines.append(f"in training for good, now in inference: {', '.join(rewritten)}")
    if begun:
        lines.append(f"moving statistics that the file lacks: {', '.join(begun)}")
    lines += [f"{each.code}: {', '.join(each.layers)}: {each.wrong}" for each in lost]
    told = [part for line in lines for part in wrapped(f"  {line}", _WIDTH)]
    return "\n".join(["2 statistics:" + (" all there" if not lines else ""), *told])


def _measured(model: Model, arrays: dict[str, Any], how: How, rewritten: Sequence[str]) -> str:
    """Measures, and measures once more: with the right statistics nothing may move.

    Raises:
      Stopped: something does.
    """
    done = recalibrated(model, arrays, how)
    again = recalibrated(model, arrays, how)
    moved = _moved(again)
    # A layer that has averages by now may be named by its scope.
    known = {part for each in done.layers for part in (each.name, each.name.rpartition("/")[0])}
    missed = [name for name in rewritten if name.replace(":", "_") not in known]
    if done.left or done.by_batch or missed:
        names = ", ".join([*done.left, *done.by_batch, *missed])
        raise Stopped(f"3 recalibrate: not measured as inference sees them: {names}")
    if not moved <= _SAME:
        raise Stopped(f"3 recalibrate: measured again, the statistics differ by {moved:.1e}")
    return f"{done}\n  proof: measured again with these, they differ by {moved:.1e} at most"


def _moved(again: Recalibration) -> float:
    """How far a second measurement lies off: means in deviations, variances in themselves."""
    most = 0.0
    for layer in again.layers:
        variance = np.maximum(np.abs(np.asarray(layer.before.variance, np.float64)), 1e-30)
        mean = np.abs(np.subtract(layer.after.mean, layer.before.mean)) / np.sqrt(variance)
        spread = np.abs(np.subtract(layer.after.variance, layer.before.variance)) / variance
        most = max(most, float(np.max(mean, initial=0.0)), float(np.max(spread, initial=0.0)))
    return most
