# SPDX-License-Identifier: Apache-2.0
"""One batch norm built by itself, in a graph of its own, and run step by step from given state."""

from __future__ import annotations

import zlib
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, op_of, tf
from .recording.consistency import role_of
from .recording.model import LEARNED
from .recording.recording import Call, Step

PLACEHOLDER = "placeholder"
_SCOPE = "replayed"
_HALF = ("float16", "bfloat16")
# An argument that a run did not compute has no part in its output; any number will do.
_UNKNOWN = 0.5


class Ran(NamedTuple):
    """What one step gave: the output, gradients by what they are of, and the variables after.

    output: of the input's shape. gradients: each of the shape of what it is of, by "gradient of x"
    and the like. after: by name. Half-precision outputs and their gradients are float32.
    """

    output: Any
    gradients: dict[str, Any]
    after: dict[str, Any]


class Built(NamedTuple):
    """A batch norm alone in a graph, with a session.

    inputs: fed, in float32 where the layer takes half precision. training: the flag to feed, None
    where the phase is built in. values: arguments to feed, by name. weights: the gradient from
    above, of the shape of `outputs`. gradients: of the sum of outputs times weights, by "gradient
    of x" and the like. updates: the ops. variables: by the names that the caller knows them by.
    initialize: gives every variable of the graph its first value.
    """

    session: Any
    inputs: Tensor
    training: Tensor | None
    values: dict[str, Tensor]
    weights: Tensor
    outputs: Tensor
    gradients: dict[str, Tensor]
    updates: list[Operation]
    variables: dict[str, Variable]
    initialize: Operation

    def run(
        self, x: Any, training: bool, state: Mapping[str, Any], values: Mapping[str, Any] = {}
    ) -> Ran:
        """Runs one step from `state`, first without and then with the update ops.

        Args:
          x: the input.
          training: the phase, for a placeholder.
          state: of the variables before the step, by their names here.
          values: of the arguments that are fed, by name.

        Returns:
          What the step gave.
        """
        feed = {self.inputs: x, self.weights: weights_for(np.shape(x))}
        if self.training is not None:
            feed[self.training] = training
        for name, placeholder in self.values.items():
            shape = [1 if n is None else n for n in placeholder.shape.as_list()]
            feed[placeholder] = values.get(name, np.full(shape, _UNKNOWN))
        self.load(state)
        output, gradients = self.session.run([self.outputs, self.gradients], feed)
        # Updates in place have moved the statistics by now.
        self.load(state)
        self.session.run([self.outputs, self.updates], feed)
        return Ran(output, gradients, self.session.run(self.variables))

    def load(self, state: Mapping[str, Any]) -> None:
        """Puts values into the variables; those without one keep theirs."""
        chosen = [(v, state[name]) for name, v in self.variables.items() if name in state]
        feed = {v.initializer.inputs[1]: np.reshape(value, v.shape) for v, value in chosen}
        self.session.run([v.initializer for v, _ in chosen], feed)


def build(
    make: Callable[[Tensor, Any, dict[str, Tensor]], Any],
    shape: Sequence[Any] | None,
    dtype: str,
    training: Any,
    named: Callable[[Variable], str | None],
) -> Built:
    """Builds a batch norm in a graph of its own.

    Args:
      make: a function of the input, of `training` or its placeholder, and of a dict into which it
        puts the placeholders of its arguments; it returns the output, or a pair of the output and
        a list of update ops that are in no collection.
      shape: of the input; None, or None in it, is unknown.
      dtype: that `make` gets; half precision is fed and read as float32.
      training: what `make` gets, or PLACEHOLDER.
      named: the name that a variable has in `Built.variables`, None to leave it out.

    Returns:
      What was built, with every variable initialized; whoever has it closes its session.

    Raises:
      Whatever `make` raises.
    """
    with tf.Graph().as_default() as graph:
        half = dtype in _HALF
        inputs = tf.placeholder("float32" if half else dtype, shape, name="proof_inputs")
        flag = None
        if isinstance(training, str) and training == PLACEHOLDER:
            flag = training = tf.placeholder(tf.bool, [], name="proof_training")
        values: dict[str, Tensor] = {}
        made = make(tf.cast(inputs, dtype) if half else inputs, training, values)
        outputs, more = made if isinstance(made, tuple) else (made, ())
        wide = tf.cast(outputs, "float32") if half else outputs
        weights = tf.placeholder(wide.dtype.base_dtype, name="proof_weights")
        found = {named(v): v for v in [*tf.global_variables(), *tf.local_variables()]}
        variables = {name: v for name, v in found.items() if name is not None}
        updates = [op_of(u) for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
        updates += [op_of(u) for u in more if op_of(u) not in updates]
        gradients = _gradients(tf.reduce_sum(wide * weights), inputs, variables)
        # One thread adds in one order, so a replay gives the same bits every time.
        config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        session = tf.Session(graph=graph, config=config)
        initialize = tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())
        session.run(initialize)
    return Built(
        session, inputs, flag, values, weights, wide, gradients, updates, variables, initialize
    )


def _gradients(
    loss: Tensor, inputs: Tensor, variables: Mapping[str, Variable]
) -> dict[str, Tensor]:
    """The gradients of the input and of what is learned, of those that the loss depends on."""
    targets = {"gradient of x": inputs}
    for name, variable in variables.items():
        if variable.trainable or name in LEARNED:
            targets[f"gradient of {name}"] = variable
    found = tf.gradients(loss, list(targets.values()))
    return {name: gradient for name, gradient in zip(targets, found) if gradient is not None}


def weights_for(shape: Sequence[int]) -> Any:
    """Returns the gradient that comes from above: for a shape the same on every machine."""
    seed = zlib.crc32(repr([int(n) for n in shape]).encode("ascii")) & 0x7FFFFFFF
    numbers = np.random.RandomState(seed).random_sample(tuple(shape))
    return np.round((numbers * 4.0 - 2.0) * 16.0) / 16.0


# -- a recorded call -----------------------------------------------------------------------------


def rebuild(function: Callable[..., Any], call: Call) -> Built:
    """Returns a recorded call built by itself, as `build` does; `variables` are by their roles.

    Args:
      function: takes the arguments of `tf.layers.batch_normalization`, or of
        `tf.contrib.layers.batch_norm` for a call of that kind.
      call: with steps.

    Raises:
      Whatever `function` raises.
    """
    words = ("is_training", "scope") if call.kind == "contrib" else ("training", "name")

    def make(x: Tensor, training: Any, values: dict[str, Tensor]) -> Any:
        arguments = {k: _argument(k, v, call, values) for k, v in call.config.items()}
        return function(x, **dict(zip(words, (training, _SCOPE))), **arguments)

    def role(variable: Variable) -> str | None:
        name = variable.op.name
        return role_of(name, _SCOPE) if name.startswith(f"{_SCOPE}/") else None

    phase = PLACEHOLDER if call.phase == "dynamic" else call.phase == "training"
    return build(make, call.kept_shape(call.shape), call.dtype, phase, role)


def run_step(built: Built, step: Step) -> Ran:
    """Returns what a recorded step gives here, from its recorded variables."""
    before, values = step.group("before"), step.group("value")
    return built.run(step.arrays["input"], step.training, before, values)


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
