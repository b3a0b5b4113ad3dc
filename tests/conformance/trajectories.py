"""Fifty steps of training, as real TF 1.15 took them: `python -m tests.conformance.trajectories`.

The record keeps the state after every step, so that each step can be compared from the record's
own state: rounding does not add up, and a free-running renorm would leave the path by it alone.
"""

from __future__ import annotations

import sys
from typing import Any, Iterator, NamedTuple

import numpy as np

from tests.conformance.data import make_input, make_state, make_weights
from tests.conformance.goldens_io import GOLDENS, save_json, save_npz
from tests.conformance.record import metadata, on_tf1
from tests.conformance.runner import real_layer
from tests.conftest import make_session, tensorflow

FOLDER = GOLDENS / "trajectories"
STEPS = 50
# Small, since a steeper descent is chaotic: its rounding errors grow tenfold every few steps.
LEARNING_RATE = 2.0**-8


class Trajectory(NamedTuple):
    """The layer's input and arguments; `scheduled` loosens the clipping of renorm as steps pass."""

    shape: tuple
    args: dict = {}
    scheduled: bool = False


TRAJECTORIES = {
    "plain": Trajectory((7, 5)),
    "unfused": Trajectory((4, 3, 2, 5), {"fused": False}),
    "fused": Trajectory((4, 3, 2, 5)),
    "renorm": Trajectory((7, 5), {"renorm": True, "renorm_momentum": 0.75}, scheduled=True),
    "ghost": Trajectory((6, 5), {"virtual_batch_size": 3}),
    "ghost_renorm": Trajectory((6, 5), {"virtual_batch_size": 3, "renorm": True}, scheduled=True),
}


class Step(NamedTuple):
    """The forward pass of one step, and every variable after it."""

    outputs: Any
    state: dict


class Trainer:
    """One weight matrix, batch norm and a loss that is not linear, trained by gradient descent."""

    def __init__(self, function: Any, trajectory: Trajectory) -> None:
        tf = tensorflow()
        self.trajectory = trajectory
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._step = tf.placeholder(tf.float32, [], name="step")
            self._x = tf.placeholder(tf.float32, trajectory.shape, name="x")
            channels = trajectory.shape[-1]
            kernel = tf.get_variable("kernel", [channels, channels])
            args = dict(trajectory.args)
            if trajectory.scheduled:
                args["renorm_clipping"] = self._clipping()
            rows = tf.matmul(tf.reshape(self._x, [-1, channels]), kernel)
            net = tf.sin(tf.reshape(rows, trajectory.shape))
            self._outputs = function(net, training=True, momentum=0.875, name="bn", **args)
            weights = make_weights(trajectory.shape, 0).astype("float32")
            loss = tf.reduce_sum(tf.tanh(self._outputs) * weights)
            with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
                optimizer = tf.train.GradientDescentOptimizer(LEARNING_RATE)
                self._train = optimizer.minimize(loss)
            self._variables = {v.op.name: v for v in tf.global_variables()}
        self._session = make_session(self._graph)

    def _clipping(self) -> dict:
        """The paper's schedule in small: plain batch norm for 10 steps, then looser bounds."""
        tf = tensorflow()
        ramp = tf.clip_by_value((self._step - 10.0) / 30.0, 0.0, 1.0)
        rmax = 1.0 + 2.0 * ramp
        return {"rmin": 1.0 / rmax, "rmax": rmax, "dmax": 5.0 * ramp}

    def initial(self) -> dict:
        shapes = {name: v.shape.as_list() for name, v in self._variables.items()}
        return {name: make_state(name, shape).astype("float32") for name, shape in shapes.items()}

    def load(self, state: dict) -> None:
        feed = {v.initializer.inputs[1]: state[name] for name, v in self._variables.items()}
        self._session.run([v.initializer for v in self._variables.values()], feed)

    def step(self, number: int) -> Step:
        """Step `number`, whose input follows from the number."""
        feed = {
            self._step: number,
            self._x: make_input(self.trajectory.shape, 0, number).astype("float32"),
        }
        # Outputs first and alone: the train op writes what they read.
        outputs = self._session.run(self._outputs, feed)
        self._session.run(self._train, feed)
        return Step(outputs, self._session.run(self._variables))

    def close(self) -> None:
        self._session.close()


def steps_of(trainer: Trainer, count: int = STEPS) -> Iterator[Step]:
    """Free-running from the common initial state."""
    trainer.load(trainer.initial())
    for number in range(count):
        yield trainer.step(number)


def recorded(name: str) -> list:
    """The recorded steps of a trajectory."""
    with np.load(str(FOLDER / f"{name}.npz"), allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    states = {key[len("state ") :]: v for key, v in arrays.items() if key.startswith("state ")}
    return [
        Step(arrays["outputs"][number], {key: value[number] for key, value in states.items()})
        for number in range(STEPS)
    ]


def record() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, trajectory in TRAJECTORIES.items():
        path = FOLDER / f"{name}.npz"
        if path.exists():
            continue
        steps = list(steps_of(Trainer(real_layer().function, trajectory)))
        arrays = {"outputs": np.stack([step.outputs for step in steps])}
        for key in steps[0].state:
            arrays[f"state {key}"] = np.stack([step.state[key] for step in steps])
        save_npz(path, arrays)
        print("recorded", name, file=sys.stderr)
    if not (FOLDER / "recorded_by.json").exists():
        save_json(FOLDER / "recorded_by.json", metadata())


if __name__ == "__main__":
    sys.exit(on_tf1(record))
