# SPDX-License-Identifier: Apache-2.0
"""One recorded call built again by itself, in a graph of its own, and run step by step."""

from __future__ import annotations

import zlib
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, op_of, tf
from .recording.consistency import role_of
from .recording.recording import Call, Step

_SCOPE = "replayed"
_HALF = ("float16", "bfloat16")
# An argument that a run did not compute has no part in its output; any number will do.
_UNKNOWN = 0.5


class Ran(NamedTuple):
    """What one step gave: the output, gradients by what they are of, and the variables after."""

    output: Any
    gradients: dict[str, Any]
    after: dict[str, Any]


class Built(NamedTuple):
    """A replayed call: the graph's ends, and its variables by name below the call's scope."""

    session: Any
    inputs: Tensor
    training: Tensor | None
    values: dict[str, Tensor]
    weights: Tensor
    outputs: Tensor
    gradients: dict[str, Tensor]
    updates: list[Operation]
    variables: dict[str, Variable]

    def run(self, step: Step) -> Ran:
        """Runs one step from the recorded variables, first without and then with the updates."""
        x = step.arrays["input"]
        feed = {self.inputs: x, self.weights: weights_for(x.shape)}
        if self.training is not None:
            feed[self.training] = step.training
        for name, placeholder in self.values.items():
            shape = [1 if n is None else n for n in placeholder.shape.as_list()]
            feed[placeholder] = step.arrays.get(f"value/{name}", np.full(shape, _UNKNOWN))
        before = step.group("before")
        self.load(before)
        output, gradients = self.session.run([self.outputs, self.gradients], feed)
        self.load(before)
        self.session.run([self.outputs, self.updates], feed)
        return Ran(output, gradients, self.session.run(self.variables))

    def load(self, state: Mapping[str, Any]) -> None:
        """Puts values into the variables; those without one keep theirs."""
        chosen = [(v, state[role]) for role, v in self.variables.items() if role in state]
        feed = {v.initializer.inputs[1]: np.reshape(value, v.shape) for v, value in chosen}
        self.session.run([v.initializer for v, _ in chosen], feed)

    def close(self) -> None:
        self.session.close()


def build(make: Callable[..., Tensor], call: Call) -> Built:
    """Builds `call` by `make(inputs, training, scope name, **arguments)`.

    Raises whatever `make` raises.
    """
    with tf.Graph().as_default() as graph:
        half = call.dtype in _HALF
        inputs = tf.placeholder("float32" if half else call.dtype, _shape(call), name="inputs")
        dynamic = call.phase == "dynamic"
        training = tf.placeholder(tf.bool, [], name="training") if dynamic else None
        values: dict[str, Tensor] = {}
        arguments = {k: _argument(k, v, call, values) for k, v in call.config.items()}
        x = tf.cast(inputs, call.dtype) if half else inputs
        phase = call.phase == "training" if training is None else training
        outputs = make(x, phase, _SCOPE, **arguments)
        wide = tf.cast(outputs, "float32") if half else outputs
        weights = tf.placeholder(wide.dtype.base_dtype, name="weights")
        variables = {
            role_of(v.op.name, _SCOPE): v
            for v in [*tf.global_variables(), *tf.local_variables()]
            if v.op.name.startswith(f"{_SCOPE}/")
        }
        updates = [op_of(u) for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
        gradients = _gradients(tf.reduce_sum(wide * weights), inputs, variables)
        session = _session(graph)
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    return Built(session, inputs, training, values, weights, wide, gradients, updates, variables)


def weights_for(shape: Sequence[int]) -> Any:
    """The gradient that comes from above: the same numbers for a shape on every machine."""
    seed = zlib.crc32(repr([int(n) for n in shape]).encode("ascii")) & 0x7FFFFFFF
    numbers = np.random.RandomState(seed).random_sample(tuple(shape))
    return np.round((numbers * 4.0 - 2.0) * 16.0) / 16.0


def _session(graph: Any) -> Any:
    # One thread adds in one order, so a replay gives the same bits every time.
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    return tf.Session(graph=graph, config=config)


def _shape(call: Call) -> list[Any] | None:
    if call.shape is None or call.sample is None:
        return call.shape
    sizes = list(call.shape)
    sizes[call.sample["axis"]] = len(call.sample["kept"])
    return sizes


def _gradients(
    loss: Tensor, inputs: Tensor, variables: Mapping[str, Variable]
) -> dict[str, Tensor]:
    targets = {"gradient of x": inputs}
    targets.update({f"gradient of {k}": variables[k] for k in ("gamma", "beta") if k in variables})
    found = tf.gradients(loss, list(targets.values()))
    return {name: gradient for name, gradient in zip(targets, found) if gradient is not None}


def _argument(name: str, value: Any, call: Call, values: dict[str, Tensor]) -> Any:
    """The argument as the layer takes it; what was a tensor becomes a placeholder."""
    if name == "activation_fn":
        return None if value is None else _activation(str(value))
    if name == "adjustment" and value is not None:
        pair = [
            value[key] if key in value else _placeholder(f"adjustment/{key}", call, values)
            for key in ("scale", "bias")
        ]
        return lambda shape: tuple(tf.convert_to_tensor(part) for part in pair)
    if isinstance(value, dict) and "tensor" in value:
        return _placeholder(name, call, values)
    if isinstance(value, dict):
        return {k: _argument(f"{name}/{k}", v, call, values) for k, v in value.items()}
    return value


def _activation(name: str) -> Any:
    # The name comes from a file.
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError(f"`activation_fn` must be a function of tf.nn (got {name!r}).")
    return getattr(tf.nn, name)


def _placeholder(name: str, call: Call, values: dict[str, Tensor]) -> Tensor:
    role = f"value/{name}"
    known = [step.arrays[role] for step in call.steps if role in step.arrays]
    dtype, rank = (known[0].dtype.name, known[0].ndim) if known else ("float32", 0)
    # The batch may differ from step to step.
    values[name] = tf.placeholder(dtype, [None] * rank)
    return values[name]
