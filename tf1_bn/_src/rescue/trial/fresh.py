# SPDX-License-Identifier: Apache-2.0
"""A new process that converts a model, or loads it and runs it; it knows files and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Sequence

import numpy as np

from ...files import same_package

_Runs = Callable[[Any], Sequence[Any]]
_SECONDS, _MOST_RUNS, _LONGEST = 0.3, 50, 900


class Failed(Exception):
    """What the other process said at its end."""


def ask(what: str, request: dict[str, Any]) -> Any:
    """Lets a new process do one of the tasks below; returns its answer.

    Raises:
      Failed: it could not; in one line.
    """
    # TF 1.15 looks for its converter beside a Python that is on the path.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    environment = dict(os.environ, PATH=path, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    answer = os.path.join(request["folder"], "answer.json")
    try:
        done = subprocess.run(
            same_package.command(__name__, what, json.dumps(request), answer),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"it did not end within {_LONGEST} seconds") from None
    told = done.stdout.decode("utf-8", "replace").strip().splitlines()
    if done.returncode or not os.path.exists(answer):
        raise Failed(told[-1][:400] if told else f"it ended with exit code {done.returncode}")
    with open(answer, encoding="utf-8") as opened:
        result = json.load(opened)
    os.unlink(answer)
    if "error" in result:
        raise Failed(result["error"])
    return result


def start(what: str, request: str, answer: str) -> int:
    """Carries out a task and writes its answer to a file; called in the new process."""
    # In front stands the folder of the file that was started.
    del sys.path[0]
    try:
        result = {"convert": _convert, "run": _run}[what](json.loads(request))
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {_line(str(error))}"}
    with open(answer, "w", encoding="utf-8") as opened:
        json.dump(result, opened)
    return 0


def _line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    useful = [line for line in lines if " error: " in line or "not support" in line]
    return " ".join((useful or lines)[:2])[:400]


def _convert(request: dict[str, Any]) -> dict[str, Any]:
    import tensorflow.compat.v1 as tf

    inputs, outputs = (
        [each.rpartition(":")[0] for each in request[key]] for key in ("inputs", "outputs")
    )
    shapes = dict(zip(inputs, request["shapes"]))
    converter = tf.lite.TFLiteConverter.from_frozen_graph(request["graph"], inputs, outputs, shapes)
    with open(request["path"], "wb") as opened:
        opened.write(converter.convert())
    return {}


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs each model on each batch; saves the outputs, and returns the times of one inference."""
    batches = np.load(request["batches"])
    results: dict[str, Any] = {}
    times: list[float] = []
    for place, model in enumerate(request["models"]):
        run = _loaded(model)
        fed = [
            {name: batches[f"{number}/{at}"] for at, name in enumerate(model["inputs"])}
            for number in range(request["count"])
        ]
        for number, each in enumerate(fed):
            for at, array in enumerate(run(each)):
                plain = np.asarray(array)
                # Strings are Python's objects, which no file of arrays may hold.
                plain = plain.astype(np.bytes_) if plain.dtype.kind == "O" else plain
                results[f"{place}/{number}/{at}"] = plain
        times.append(milliseconds(lambda run=run, fed=fed: run(fed[0])))  # type: ignore[misc]
    np.savez(request["results"], **results)
    return {"milliseconds": times}


def _loaded(model: dict[str, Any]) -> _Runs:
    run = {"graph_def": _graph_def, "saved_model": _saved_model, "tflite": _tflite}[
        model["format"]
    ](model)
    if not model["row_by_row"]:
        return run

    def each_row(fed: Any) -> Sequence[Any]:
        count = len(next(iter(fed.values())))
        rows = [run({name: a[i : i + 1] for name, a in fed.items()}) for i in range(count)]
        return [np.concatenate([np.atleast_1d(part) for part in parts]) for parts in zip(*rows)]

    return each_row


def milliseconds(run: Callable[[], Any]) -> float:
    """The middle one of the times that `run` takes."""
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(times) < _MOST_RUNS and (time.perf_counter() < end or len(times) < 3):
        begin = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - begin))
    return float(np.median(times))


def _graph_def(model: dict[str, Any]) -> _Runs:
    import tensorflow.compat.v1 as tf

    message = tf.GraphDef()
    with open(model["path"], "rb") as opened:
        message.ParseFromString(opened.read())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(message, name="")
    session = tf.Session(graph=graph)
    return lambda fed: session.run(model["outputs"], fed)


def _saved_model(model: dict[str, Any]) -> _Runs:
    import tensorflow.compat.v1 as tf

    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.saved_model.load(session, ["serve"], model["path"])
    signature = loaded.signature_def["serving_default"]
    inputs = dict(zip(model["inputs"], model["input_keys"]))
    outputs = [signature.outputs[key].name for key in model["output_keys"]]

    def run(fed: Any) -> Sequence[Any]:
        named = {signature.inputs[inputs[name]].name: array for name, array in fed.items()}
        found: Sequence[Any] = session.run(outputs, named)
        return found

    return run


def _tflite(model: dict[str, Any]) -> _Runs:
    import tensorflow.compat.v1 as tf

    interpreter = tf.lite.Interpreter(model_path=model["path"])
    places = {each["name"].partition(":")[0]: each for each in interpreter.get_input_details()}
    found = [each["index"] for each in interpreter.get_output_details()]
    by_name = {each["name"]: each["index"] for each in interpreter.get_output_details()}
    wanted = [by_name.get(name.rpartition(":")[0], by_name.get(name)) for name in model["outputs"]]
    interpreter.allocate_tensors()
    order = [each if each is not None else found[i] for i, each in enumerate(wanted)]

    def run(fed: Any) -> Sequence[Any]:
        for name, array in fed.items():
            interpreter.set_tensor(places[name.rpartition(":")[0]]["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in order]

    return run
