# SPDX-License-Identifier: Apache-2.0
"""One noticed call: the graph's own objects, and its arguments as plain values."""

from __future__ import annotations

import numbers
from typing import Any, Mapping

import numpy as np

from ...runtime.tensorflow_v1 import Operation, Tensor, tf
from ...runtime.training_flag import LEARNING_PHASE, static_training
from ..recording.recording import Step
from ..recording.sampling import Sample
from ..recording.schema import CONFIG, FLAGS, argument_problem


class Seen:
    """One call: the graph's own objects, its arguments, and what was noted of its runs.

    maker: the layer's class, or the module of a `batch_norm` function. config: the arguments as
    plain values. values: those that are tensors, by name. state: the variables by role, each a
    list of its parts. updates_key: the collection that the update ops go to. steps: what was kept
    of runs, with the channels that `sample` says. runs, update_runs: in how many session runs the
    call, and any update of it, took part. is_raced: whether a run was left out since another call
    moved the same averages in it. is_full: whether one was left out since it was too large.
    """

    def __init__(self, kind: str, maker: Any, inputs: Any) -> None:
        self.kind = kind
        self.maker = maker
        self.inputs = inputs
        self.graph = tf.get_default_graph()
        self.config: dict[str, Any] = {}
        self.values: dict[str, Tensor] = {}
        self.training: Any = False
        self.phase = "inference"
        self.outputs: Any = None
        self.state: dict[str, list[Any]] = {}
        self.updates: list[Operation] = []
        self.updates_key: Any = tf.GraphKeys.UPDATE_OPS
        self.name = ""
        self.structure: dict[str, Any] = {}
        self.notes: list[str] = []
        self.can_run = True
        self.steps: list[Step] = []
        self.sample: Sample | None = None
        self.runs = self.update_runs = 0
        self.is_raced = self.is_full = False

    @property
    def in_place(self) -> bool:
        """Whether the output itself moves the statistics, as contrib does without a collection."""
        return self.kind == "contrib" and self.config.get("updates_collections") is None

    def cannot_run(self, reason: str) -> None:
        """Notes why no run of the call can be kept."""
        self.can_run = False
        self.notes.append(f"not recorded: {reason}")


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor or a variable, and no number or array."""
    return isinstance(value, tf.Tensor) or hasattr(value, "assign")


def seen_layer(layer: Any, inputs: Any) -> Seen:
    """A call of a layer, TensorFlow's own or ours, before anything is built."""
    seen = Seen("layer", type(layer), inputs)
    _note_arguments(seen, {name: _layer_argument(layer, name) for name in CONFIG["layer"]})
    return seen


def seen_contrib(function: Any, given: Mapping[str, Any]) -> Seen:
    """A call of a `batch_norm` function with the arguments `given`, before anything is built."""
    seen = Seen("contrib", function.__module__, given["inputs"])
    _note_arguments(seen, {name: given[name] for name in CONFIG["contrib"]})
    seen.updates_key = _first(given["updates_collections"])
    return seen


def _first(collections: Any) -> Any:
    """The name of a collection that the updates go to: the first, of several."""
    listed = collections if isinstance(collections, (list, tuple)) else [collections]
    return listed[0] if listed and listed[0] is not None else tf.GraphKeys.UPDATE_OPS


def _layer_argument(layer: Any, name: str) -> Any:
    # TF1 sets these two with renorm only.
    value: Any = getattr(layer, name, {"renorm_momentum": 0.99}.get(name))
    if name == "axis" and layer.built and layer.virtual_batch_size is not None:
        # A built layer counts the ghost axis.
        return [axis - 1 for axis in value]
    if name == "fused":
        # None and True both mean "where it can be".
        return None if value or layer.built and _rank_is_not_4(layer) else False
    return value


def _rank_is_not_4(layer: Any) -> bool:
    spec = getattr(layer, "input_spec", None)
    return spec is not None and getattr(spec, "ndim", 4) != 4


def _note_arguments(seen: Seen, arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        plain = _plain(seen, name, value)
        if isinstance(plain, int) and name in FLAGS:
            # The original takes 1 for True.
            plain = bool(plain)
        problem = argument_problem(seen.kind, name, plain)
        if problem and seen.can_run:
            seen.cannot_run(f"its argument {problem}")
        seen.config[name] = None if problem else plain


def _plain(seen: Seen, name: str, value: Any) -> Any:
    """A value that JSON holds; a tensor is noted as one whose value each run will tell."""
    if name == "updates_collections" and value is not None:
        # Under which name does not matter to what they do.
        return tf.GraphKeys.UPDATE_OPS
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.bool_, np.generic)):
        return value.item()
    if isinstance(value, numbers.Number):
        return value
    if hasattr(value, "items"):
        return {str(k): _plain(seen, f"{name}/{k}", v) for k, v in value.items()}
    if name == "axis":
        return [int(axis) for axis in value]
    if name == "adjustment":
        return {"tensor": name}
    if name == "activation_fn":
        known = getattr(tf.nn, getattr(value, "__name__", ""), None)
        if known is None:
            seen.cannot_run(f"its activation_fn {value!r} is none of tf.nn")
        return getattr(value, "__name__", None)
    if is_tensor(value):
        seen.values[name] = value
        return {"tensor": name}
    if isinstance(value, (list, tuple, np.ndarray)):
        return np.asarray(value).tolist()
    seen.cannot_run(f"its argument {name} is {type(value).__name__}")
    return None


def captured(seen: Seen, adjustment: Any) -> Any:
    """The same adjustment, which also tells what it returned."""
    if adjustment is None:
        return None

    def adjust(shape: Any) -> Any:
        scale, bias = adjustment(shape)
        note_adjustment(seen, (scale, bias))
        return scale, bias

    return adjust


def note_adjustment(seen: Seen, adjusted: tuple[Any, Any]) -> None:
    """Notes the scale and bias that an adjustment returned: tensors, variables or numbers."""
    for key, value in zip(("scale", "bias"), adjusted):
        if is_tensor(value):
            seen.values[f"adjustment/{key}"] = value
        else:
            _note_number(seen, key, value)


def _note_number(seen: Seen, key: str, value: Any) -> None:
    """A scale or bias that is no tensor: a number, or the recording cannot hold it."""
    noted = {**(seen.config["adjustment"] or {}), key: np.asarray(value).tolist()}
    problem = argument_problem(seen.kind, "adjustment", noted)
    if problem:
        seen.cannot_run(f"its argument {problem}")
    else:
        seen.config["adjustment"] = noted


def note_phase(seen: Seen, training: Any) -> None:
    """Notes the flag as the call got it; None stands for the graph's learning phase."""
    if training is None:
        try:
            training = seen.graph.get_tensor_by_name(f"{LEARNING_PHASE}:0")
        except KeyError:
            seen.cannot_run("training=None, and the graph has no learning phase")
            return
    known = static_training(training)
    seen.training = training if known is None else known
    seen.phase = {None: "dynamic", True: "training", False: "inference"}[known]
