# SPDX-License-Identifier: Apache-2.0
"""A model written under a passing name, and tried by a new process."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from ...runtime.tensorflow_v1 import tf
from .batches import Batches
from .fresh import Failed, ask
from .proof import has_rows, is_alike, near, rows_apart


class Measured(NamedTuple):
    """One form of the model: its size in bytes and one inference of the test batch, in ms."""

    name: str
    nodes: int | None
    size: int
    milliseconds: float | None


class Trial(NamedTuple):
    """What is tried.

    Attributes:
      format: of the model.
      graph_def: frozen, and folded where that was asked for.
      unfolded: before that; None without folding.
      inputs: the session's tensors that are fed, by their keys.
      fed: the placeholders of `graph_def` that are `inputs`, in their order.
      outputs: those that are wanted.
      names: the tensors of `graph_def` that are `outputs`, in their order.
    """

    format: str
    graph_def: Any
    unfolded: Any
    inputs: dict[str, Any]
    fed: list[str]
    outputs: dict[str, Any]
    names: list[str]


class Found(NamedTuple):
    """What the new process says: outputs of the first batch, and how far rows differ."""

    outputs: list[Any]
    unfolded: list[Any]
    rows: float | None
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]


def written(trial: Trial, path: str, tests: Batches) -> None:
    """Writes the model to `path`.

    Raises:
      OSError: it cannot be written.
      ValueError: the converter refuses it.
    """
    folder = os.path.dirname(path)
    if trial.unfolded is not None:
        _save(trial.unfolded, os.path.join(folder, "unfolded.pb"))
    if trial.format == "graph_def":
        _save(trial.graph_def, path)
    elif trial.format == "saved_model":
        _save_model(trial, path)
    else:
        _convert(trial, path, tests)


def _save(graph_def: Any, path: str) -> None:
    with open(path, "wb") as opened:
        opened.write(graph_def.SerializeToString())


def _save_model(trial: Trial, path: str) -> None:
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(trial.graph_def, name="")
        inputs, outputs = (
            {
                key: tf.saved_model.build_tensor_info(graph.get_tensor_by_name(name))
                for key, name in zip(keys, given)
            }
            for keys, given in ((trial.inputs, trial.fed), (trial.outputs, trial.names))
        )
        signature = tf.saved_model.build_signature_def(
            inputs, outputs, tf.saved_model.signature_constants.PREDICT_METHOD_NAME
        )
        builder = tf.saved_model.builder.SavedModelBuilder(path)
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, clear_devices=True
        )
        builder.save()


def _convert(trial: Trial, path: str, tests: Batches) -> None:
    folder = os.path.dirname(path)
    _save(trial.graph_def, os.path.join(folder, "graph.pb"))
    shapes = [list(np.shape(each)) for each in tests.all[-1].values()]
    request = {
        "folder": folder,
        "graph": os.path.join(folder, "graph.pb"),
        "path": path,
        "inputs": trial.fed,
        "outputs": trial.names,
        "shapes": shapes,
    }
    try:
        ask("convert", request)
    except Failed as error:
        raise ValueError(
            f"the TFLite converter of TensorFlow {tf.__version__} refuses this model: {error}"
        ) from None


def tried(trial: Trial, path: str, tests: Batches) -> Found:
    """Lets a new process load and run the model.

    Raises:
      ValueError: it cannot, or a row's output depends on the other rows.
    """
    folder = os.path.dirname(path)
    single = trial.format == "tflite" and tests.free
    models = [_model(trial, trial.format, path, single)]
    if trial.unfolded is not None:
        models.append(_model(trial, "graph_def", os.path.join(folder, "unfolded.pb")))
    if trial.format == "tflite":
        models.append(_model(trial, "graph_def", os.path.join(folder, "graph.pb")))
    answer, results = _asked(folder, models, tests)
    keys = list(trial.outputs)
    first, last = results[0], results[-1]
    rows, notes = None, []
    if tests.rows is None or len(tests.all) == 1:
        few = "there is one row alone" if tests.rows else "the inputs have no rows in common"
        notes.append(f"{few}, so none was tried beside others")
    else:
        # A converted model takes a row at a time.
        answers = last if trial.format == "tflite" else first
        rows = rows_apart(answers, keys, tests.rows)
        if tests.rows > 1 and all(is_alike(each, tests.rows) for each in answers[:2]):
            notes.append("all rows have the same outputs, which proves little: give a `batch`")
        missing = [key for key, one in zip(keys, last[0]) if not has_rows(one, tests.rows)]
        if missing:
            notes.append(f"{', '.join(missing)}: no row for each example, so not tried in rows")
    if trial.format == "tflite":
        near(first[0], last[0], keys, "in the frozen graph")
    named = ["unfolded"] if trial.unfolded is not None else []
    measured = [
        _measured(name, trial, place, path, answer)
        for place, name in enumerate([trial.format, *named])
    ]
    unfolded = results[1][0] if trial.unfolded is not None else []
    return Found(first[0], unfolded, rows, tuple(measured[::-1]), tuple(notes))


def _model(trial: Trial, format: str, path: str, single: bool = False) -> dict[str, Any]:
    return {
        "format": format,
        "path": path,
        "inputs": trial.fed,
        "outputs": trial.names,
        "input_keys": list(trial.inputs),
        "output_keys": list(trial.outputs),
        "row_by_row": single,
    }


def _asked(folder: str, models: list[dict[str, Any]], tests: Batches) -> Any:
    batches = {
        f"{number}/{place}": array
        for number, batch in enumerate(tests.all)
        for place, array in enumerate(batch.values())
    }
    request: dict[str, Any] = {
        "folder": folder,
        "models": models,
        "count": len(tests.all),
        "batches": os.path.join(folder, "batches.npz"),
        "results": os.path.join(folder, "results.npz"),
    }
    np.savez(request["batches"], **batches)
    try:
        answer = ask("run", request)
    except Failed as error:
        raise ValueError(f"the new model does not run in a new process: {error}") from None
    count = len(models[0]["outputs"])
    with np.load(request["results"]) as found:
        results = [
            [[found[f"{m}/{n}/{at}"] for at in range(count)] for n in range(len(tests.all))]
            for m in range(len(models))
        ]
    return answer, results


def _measured(name: str, trial: Trial, place: int, path: str, answer: Any) -> Measured:
    """Of the model itself, or of the graph before folding."""
    folder = os.path.dirname(path)
    at = path if place == 0 else os.path.join(folder, "unfolded.pb")
    message = trial.graph_def if place == 0 else trial.unfolded
    nodes = None if trial.format == "tflite" and place == 0 else len(message.node)
    return Measured(name, nodes, _size(at), answer["milliseconds"][place])


def _size(path: str) -> int:
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )
