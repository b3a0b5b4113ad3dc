"""Checkpoints in both directions: a few layers, saved by one implementation, read by another.

`python -m tests.conformance.checkpoints` writes the ones that are missing: under TF 1.15 with the
real layer, under a later TensorFlow with tf1_bn. Existing ones are left alone.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.data import make_input, make_state
from tests.conformance.goldens_io import GOLDENS, save_npz
from tests.conformance.runner import real_layer, tf1_bn_layer
from tests.conftest import make_session, tensorflow, tf_version

FOLDER = GOLDENS / "checkpoint"
REAL = FOLDER / "tf_layers_on_1_15"
OURS = FOLDER / "tf1_bn_on_tf2"
SHAPES = {"image": (6, 4, 3, 5), "rows": (6, 7), "renormed": (6, 7), "ghosts": (6, 7)}


class Network:
    """Layers of every family of variables, with one placeholder for the phase."""

    def __init__(self, function: Any) -> None:
        tf = tensorflow()
        self.training = tf.placeholder_with_default(False, [], name="training")
        self.inputs = {
            name: tf.placeholder("float32", [None, *shape[1:]]) for name, shape in SHAPES.items()
        }
        x, training = self.inputs, self.training
        with tf.variable_scope("net"):
            self.outputs = {
                "image": function(x["image"], training=training, name="image"),
                "rows": function(x["rows"], training=training),
                "renormed": function(x["renormed"], training=training, renorm=True, name="re/norm"),
                "ghosts": function(
                    x["ghosts"], training=training, virtual_batch_size=3, name="ghosts"
                ),
            }
            with tf.variable_scope("parts", partitioner=tf.fixed_size_partitioner(2)):
                self.outputs["parts"] = function(x["rows"], training=training, name="bn")
        self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)

    def feed(self, training: bool) -> dict:
        inputs = {x: make_input(SHAPES[name], 0, 0) for name, x in self.inputs.items()}
        return {**inputs, self.training: training}

    def numbers(self, session: Any) -> dict:
        """Inference, one training step, and inference again with the moved statistics."""
        tf, found = tensorflow(), {}
        for phase in ("restored", "trained"):
            values = session.run(self.outputs, self.feed(False))
            found.update({f"{phase} {name}": value for name, value in values.items()})
            session.run([getattr(u, "op", u) for u in self.updates], self.feed(True))
        variables = {v.op.name: v for v in tf.global_variables()}
        found.update(session.run(variables))
        return found


def write(prefix: Path, function: Any) -> dict:
    """Save a network whose variables have values of their own; return its numbers."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        network = Network(function)
        with make_session(graph) as session:
            variables = tf.global_variables()
            for v in variables:
                value = make_state(v.op.name, v.shape.as_list()).astype("float32")
                session.run(v.initializer, {v.initializer.inputs[1]: value})
            tf.train.Saver().save(session, str(prefix), write_meta_graph=False, write_state=False)
            return network.numbers(session)


def read(prefix: Path, function: Any) -> dict:
    """The numbers of a network restored from a checkpoint into variables set to something else."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        network = Network(function)
        with make_session(graph) as session:
            session.run(tf.global_variables_initializer())
            tf.train.Saver().restore(session, str(prefix))
            return network.numbers(session)


def contents(prefix: Path) -> dict:
    """Each key of a checkpoint with its value, as stored."""
    tf = tensorflow()
    reader = tf.train.NewCheckpointReader(str(prefix))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}


def main() -> int:
    is_tf1 = tf_version()[0] == 1
    prefix, candidate = (REAL, real_layer()) if is_tf1 else (OURS, tf1_bn_layer())
    if prefix.with_name(prefix.name + ".index").exists():
        print(f"{prefix.name} exists, and a golden is not recorded again", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        numbers = write(Path(folder) / prefix.name, candidate.function)
        for path in Path(folder).iterdir():
            shutil.move(str(path), str(FOLDER / path.name))
    save_npz(prefix.with_name(prefix.name + ".npz"), numbers)
    np.load(str(prefix) + ".npz", allow_pickle=False).close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
