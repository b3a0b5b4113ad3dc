# SPDX-License-Identifier: Apache-2.0
"""`export_inference`: a session's model as a file for inference, with its proof."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from ...discovery.reading.nodes import named
from ...files.whole_files import folder_beside
from ...runtime.tensorflow_v1 import tf
from ..folding.folding import Folded, folded
from ..surgery.freezing import frozen, variables_of
from ..surgery.net import Net, as_graph_def
from ..surgery.operation import Prepared, prepared
from ..trial.batches import batches
from ..trial.formula import by_formula
from ..trial.fresh import milliseconds
from ..trial.proof import largest, near, no_batch_statistic
from ..trial.trial import Measured, Trial, tried, written
from .asked import check_session, checked_path, fed, phase_of, tensor, tensors
from .live import fed_settings, first_line, outputs_of, values_of
from .report import ExportReport


class _Session(NamedTuple):
    """What the session says of the test batch: None where it has no inference to compare with."""

    outputs: list[Any] | None
    measured: Measured
    note: str


def export_inference(
    session: Any,
    outputs: Any,
    path: Any,
    *,
    format: str = "graph_def",
    phase: Any = None,
    fold: bool = False,
    inputs: Any = None,
    batch: Any = None,
) -> ExportReport:
    """Writes the model of a session for inference, and proves it before it gets its name.

    Works on a copy of the graph: what decides on the phase is set to inference, conditionals and
    dropout that depend on it follow, updates and all that the outputs do not need are left out,
    and variables become constants. The layers may be of any library. Session and graph stay as
    they are.

    Args:
      session: a `tf.compat.v1.Session` whose variables have their values.
      outputs: what is served: a tensor, a name, or a list or dict of these; the keys of a dict are
        the names in the signature of a SavedModel.
      path: the file to write, or the new folder of a SavedModel.
      format: "graph_def", a frozen graph; "saved_model"; or "tflite", by the converter of the
        running TensorFlow.
      phase: None sets what is found to decide on the phase. A tensor or a name is set to 0 as
        well, a dict sets each of its keys to its value, such as {"keep_prob:0": 1.0}. False also
        rewrites layers that were built with a constant `training=True`: the moving statistics take
        the place of the batch's. A list of these is all of them.
      fold: whether to put the layers into the convolution or the product before or behind them,
        where that is exact.
      inputs: what is fed, as `outputs`; None for the placeholders that the outputs need.
      batch: what to test with: an array, or a dict of arrays by the names of the inputs; None for
        random numbers.

    Returns:
      A report; `print` it.

    Raises:
      OSError: the file cannot be written.
      TypeError: an argument has another type.
      ValueError: there is no such tensor, no batch normalization, or no inference; a proof fails;
        the converter refuses. Nothing is written then.
    """
    check_session(session)
    graph = session.graph
    wanted = tensors(graph, "outputs", outputs)
    given = tensors(graph, "inputs", inputs) if inputs is not None else {}
    target, asked = checked_path(path, format), phase_of(graph, phase)
    ready = prepared(
        graph.as_graph_def(add_shapes=True),
        [(each.op.name, each.value_index) for each in wanted.values()],
        asked.settings,
        asked.every_layer,
        [fed(each) for each in given.values()],
    )
    places = given or _placeholders(graph, ready.net)
    inputs_there = _inputs_there(ready.fed, given, places)
    tests = batches(places, batch, format == "tflite")
    values = values_of(session, variables_of(ready.net))
    plain = frozen(ready.net, values, ready.outputs)
    done = folded(plain, ready.outputs) if fold else Folded(plain, (), ())
    graph_def = as_graph_def(done.net)
    no_batch_statistic(graph_def)
    names = [named(each) for each in ready.outputs]
    size = sum(each.nbytes for each in values.values())
    old = _old(session, ready, (wanted, places), tests.all[0], size)
    unfolded = as_graph_def(plain) if fold else None
    trial = Trial(format, graph_def, unfolded, places, inputs_there, wanted, names)
    with _as_oserror(target), folder_beside(target) as beside:
        written(trial, beside, tests)
        found = tried(trial, beside, tests)
        formula = None
        if ready.rewritten:
            feed = dict(zip(inputs_there, tests.all[0].values()))
            formula = by_formula(as_graph_def(plain), ready.rewritten, values, feed)
        return _report(path, ready, done, trial, (old, found, formula))


def _inputs_there(fed_ones: Sequence[str], given: Any, places: Any) -> list[str]:
    """The names of the inputs in the new graph."""
    if "" in fed_ones:
        lost = list(given)[fed_ones.index("")]
        raise ValueError(f"the outputs do not depend on the input {lost}.")
    return [f"{each}:0" for each in fed_ones or places]


def _placeholders(graph: Any, net: Net) -> dict[str, Any]:
    """The placeholders that are left, which must be all that has to be fed."""
    found = {}
    for node in net.nodes.values():
        if node.op == "Placeholder":
            found[node.name] = tensor(graph, "inputs", node.name)
        elif node.op.startswith(("IteratorGetNext", "QueueDequeue", "ReaderRead")):
            raise ValueError(f"the outputs read from {node.name}: name what is fed as `inputs`.")
    numbers = [each.name for each in found.values() if each.shape.rank == 0]
    if numbers:
        raise ValueError(
            f"the outputs also need {', '.join(numbers)}: set it, as in "
            f"phase={{{numbers[0]!r}: 1}}, or name it among `inputs`."
        )
    if not found:
        raise ValueError("the outputs depend on no placeholder: name what is fed as `inputs`.")
    return found


def _old(
    session: Any, ready: Prepared, ends: Any, batch: dict[str, Any], variables: int
) -> _Session:
    wanted, places = ends
    size = session.graph.as_graph_def().ByteSize() + variables
    plain = Measured("session", len(session.graph.get_operations()), size, None)
    if ready.forced:
        return _Session(None, plain, "the session itself has no inference to compare with")
    feed = fed_settings(session.graph, ready.settings)
    if feed is None or not ready.inert:
        return _Session(None, plain, "the session was not run, as that would change its variables")
    feed.update({tensor: batch[key] for key, tensor in places.items()})
    outputs = list(wanted.values())
    found = outputs_of(session, outputs, feed)
    time = milliseconds(lambda: session.run(outputs, feed))
    return _Session(found, plain._replace(milliseconds=time), "")


def _report(path: Any, ready: Prepared, done: Folded, trial: Trial, results: Any) -> ExportReport:
    old, found, formula = results
    names, new = list(trial.outputs), found.outputs
    session = None
    if old.outputs is not None:
        session = near(new, old.outputs, names, "in the session")
    unfolded = None
    if trial.unfolded is not None:
        unfolded = near(new, found.unfolded, names, "before folding")
    if not all(np.isfinite(each).all() for each in new if np.asarray(each).dtype.kind == "f"):
        raise ValueError("an output of the new model is NaN or infinite.")
    notes = [note for note in (old.note, *found.notes) if note]
    return ExportReport(
        os.fspath(path),
        trial.format,
        dict(zip(trial.inputs, trial.fed)),
        dict(zip(trial.outputs, trial.names)),
        ready.layers,
        tuple(str(each) for each in ready.settings),
        ready.forced,
        done.done,
        done.kept,
        found.rows,
        session,
        formula,
        unfolded,
        largest(new),
        (old.measured, *found.measured),
        tuple(notes),
    )


@contextlib.contextmanager
def _as_oserror(target: str) -> Iterator[None]:
    """TensorFlow's own errors of a full disk as Python's."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(None, first_line(error), target) from None
