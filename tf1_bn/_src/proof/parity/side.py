# SPDX-License-Identifier: Apache-2.0
"""One of the two sides of a parity check: a graph, a session, and ways to run it."""

from __future__ import annotations

import zlib
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ...runtime.tensorflow_v1 import Operation, Tensor, Variable, op_of, tf
from ..replay import weights_for

PLACEHOLDER = "placeholder"
_HALF = ("float16", "bfloat16")


class Values(NamedTuple):
    """What a run gave."""

    output: Any
    gradients: dict[str, Any]
    after: dict[str, Any]


class Side(NamedTuple):
    """A built side; `variables` are by the reference's names."""

    graph: Any
    session: Any
    inputs: Tensor
    training: Tensor | None
    outputs: Tensor
    weights: Tensor
    gradients: dict[str, Tensor]
    updates: list[Operation]
    variables: dict[str, Variable]

    def run(
        self, x: Any, training: bool, state: Mapping[str, Any] | None, updates: bool = True
    ) -> Values:
        """One step from `state` (None: from where the variables are), with the update ops."""
        feed = {self.inputs: x, self.weights: weights_for(np.shape(x))}
        if self.training is not None:
            feed[self.training] = training
        if state is not None:
            self.load(state)
        output, gradients = self.session.run([self.outputs, self.gradients], feed)
        if state is not None:
            # Updates in place have moved the statistics by now.
            self.load(state)
        if updates:
            self.session.run([self.outputs, self.updates], feed)
        return Values(output, gradients, self.session.run(self.variables))

    def load(self, state: Mapping[str, Any]) -> None:
        feed = {
            v.initializer.inputs[1]: np.reshape(state[k], v.shape) for k, v in self.known(state)
        }
        self.session.run([v.initializer for _, v in self.known(state)], feed)

    def known(self, state: Mapping[str, Any]) -> list[tuple[str, Variable]]:
        return [(k, v) for k, v in self.variables.items() if k in state]

    def close(self) -> None:
        self.session.close()


def build_side(
    build: Callable[..., Any],
    sizes: Sequence[Any],
    dtype: str,
    training: Any,
    rename: Callable[[str], str],
) -> Side:
    """Calls `build` in a graph of its own; `training` is what it is given, or PLACEHOLDER."""
    with tf.Graph().as_default() as graph:
        half = dtype in _HALF
        inputs = tf.placeholder("float32" if half else dtype, sizes, name="parity_inputs")
        phase = training
        flag = None
        if training == PLACEHOLDER and isinstance(training, str):
            flag = phase = tf.placeholder(tf.bool, [], name="parity_training")
        built = build(tf.cast(inputs, dtype) if half else inputs, phase)
        outputs, more = built if isinstance(built, tuple) else (built, ())
        wide = tf.cast(outputs, "float32") if half else outputs
        weights = tf.placeholder(wide.dtype.base_dtype, name="parity_weights")
        variables = {rename(v.op.name): v for v in tf.global_variables()}
        updates = [op_of(u) for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
        updates += [op_of(u) for u in more if op_of(u) not in updates]
        targets = {"gradient of x": inputs}
        targets.update({f"gradient of {k}": v for k, v in variables.items() if v.trainable})
        found = tf.gradients(tf.reduce_sum(wide * weights), list(targets.values()))
        gradients = {k: g for k, g in zip(targets, found) if g is not None}
        config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        session = tf.Session(graph=graph, config=config)
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    return Side(graph, session, inputs, flag, wide, weights, gradients, updates, variables)


# -- numbers -------------------------------------------------------------------------------------


def random_state(variables: Mapping[str, Variable]) -> dict[str, Any]:
    """A value of its own for each variable; variances and deviations are positive."""
    return {name: _value_for(name, variable) for name, variable in variables.items()}


def _value_for(name: str, variable: Variable) -> Any:
    last = name.rsplit("/", 1)[-1]
    low, high = -1.0, 1.0
    if "var" in last or "std" in last or "gamma" in last or last == "scale":
        low, high = 0.5, 1.75
    values = _uniform(f"state {last}", variable.shape.as_list(), low, high)
    return values.astype(variable.dtype.base_dtype.as_numpy_dtype)


def random_input(shape: Sequence[int], seed: int, far: float = 0.0) -> Any:
    """Noise whose centre and width differ along every axis; `far` moves the centres away from 0."""
    values = _uniform(f"input {tuple(shape)} {seed}", shape, -1.0, 1.0)
    for axis, size in enumerate(shape):
        along = np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        values = values * (1.0 + 0.125 * along) + 0.1875 * (along - 0.5 * axis)
    return values + far


def _uniform(seed: str, shape: Sequence[int], low: float, high: float) -> Any:
    random = np.random.RandomState(zlib.crc32(seed.encode("utf-8")) & 0x7FFFFFFF)
    # On a grid that every dtype holds.
    return np.round((low + (high - low) * random.random_sample(tuple(shape))) * 64.0) / 64.0
