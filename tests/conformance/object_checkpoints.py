"""Checkpoints by object: a module of layers, saved by one implementation, read by another.

`python -m tests.conformance.object_checkpoints` writes the one that is missing: under TF 1.15 and
2.15 with the real layer, under a later TensorFlow with tf1_bn. Existing ones are left alone. The
value of each variable follows from its name, so nothing else is recorded.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.data import make_state
from tests.conformance.goldens_io import GOLDENS
from tests.conformance.runner import real_layer, tf1_bn_layer
from tests.conftest import make_session, tensorflow, tf_version

FOLDER = GOLDENS / "checkpoint_by_object"
REAL = (FOLDER / "tf_layers_on_1_15-1", FOLDER / "tf_layers_on_2_15-1")
OURS = FOLDER / "tf1_bn_on_tf2-1"


def with_own_weights(layer: Any) -> Any:
    """A subclass that makes weights before the parent's build, by both methods."""

    class WithOwnWeights(layer):
        def build(self, input_shape: Any) -> None:
            self.attribute = self.add_weight("weight", [2], initializer="ones")
            self.listed = [self.add_variable(name="variable/slash", shape=[3], trainable=False)]
            # A name that is an attribute of the layer as well.
            self.add_weight("scale", [4], initializer="zeros")
            super().build(input_shape)

    return WithOwnWeights


class Network:
    """A module that holds layers as attributes, in a list and in a dict; not built yet."""

    def __init__(self, layer: Any) -> None:
        tf = tensorflow()
        self.module = tf.Module()
        self.module.plain = layer(name="plain")
        self.module.listed = [layer(renorm=True, name="renormed"), layer(scale=False, name="part")]
        self.module.named = {"axes": layer(axis=[1, 3], name="axes")}
        self.module.own = with_own_weights(layer)(name="own")

    def build(self) -> None:
        """Call each layer once, in one order."""
        tf, module = tensorflow(), self.module
        rows = tf.placeholder("float32", [None, 7])
        for layer in (module.plain, *module.listed, module.own):
            layer(rows, training=True)
        module.named["axes"](tf.placeholder("float32", [None, 3, 4, 5]), training=True)

    def checkpoint(self) -> Any:
        return tensorflow().train.Checkpoint(net=self.module)


def layer_variables() -> dict:
    """The graph's variables by name, without the checkpoint's own counter."""
    variables = tensorflow().global_variables()
    return {v.op.name: v for v in variables if v.op.name != "save_counter"}


def expected() -> dict:
    """The value that each variable was saved with."""
    return {
        name: make_state(name, v.shape.as_list()).astype("float32")
        for name, v in layer_variables().items()
    }


def write(prefix: Path, layer: Any) -> str:
    """Save a network whose variables have values of their own; return the path, `prefix`-1."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        network = Network(layer)
        network.build()
        values = expected()
        with make_session(graph) as session:
            for name, v in layer_variables().items():
                session.run(v.initializer, {v.initializer.inputs[1]: values[name]})
            return str(network.checkpoint().save(str(prefix), session=session))


def read(prefix: Path, layer: Any, deferred: bool, use_resource: bool = False) -> tuple:
    """Restore before or after the layers are built: the values then, and those to expect."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        tf.get_variable_scope().set_use_resource(use_resource)
        network = Network(layer)
        if not deferred:
            network.build()
        status = network.checkpoint().restore(str(prefix))
        if deferred:
            network.build()
        status.assert_consumed()
        with make_session(graph) as session:
            session.run([v.initializer for v in layer_variables().values()])
            status.initialize_or_restore(session)
            return session.run(layer_variables()), expected()


def contents(prefix: Path) -> dict:
    """Each key of a checkpoint with its value, without the graph of objects."""
    reader = tensorflow().train.NewCheckpointReader(str(prefix))
    keys = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    return {key: reader.get_tensor(key) for key in keys}


def main() -> int:
    is_real = tf_version()[:2] <= (2, 15)
    prefix = REAL[tf_version()[0] - 1] if is_real else OURS
    layer = (real_layer() if is_real else tf1_bn_layer()).layer
    if prefix.with_name(prefix.name + ".index").exists():
        print(f"{prefix.name} exists, and a golden is not recorded again", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / prefix.name[:-2], layer)
        for path in Path(folder).glob(prefix.name + ".*"):
            shutil.move(str(path), str(FOLDER / path.name))
    assert all(np.isfinite(value).all() for value in contents(prefix).values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
