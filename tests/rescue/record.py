# SPDX-License-Identifier: Apache-2.0
"""Records three lost models with TensorFlow 1.15.5: `python tests/rescue/record.py`.

A small convolutional network on the digits of `examples/data`, written as in 2018, and spoiled in
three ways that raise no error. The files go into `migration_guide/data/lost_models.zip`:

- `forgotten`: the training graph and checkpoint of a program that never ran its update ops;
- `frozen.pb`: a graph that was trained well, and frozen with `training=True`;
- `trainable`: a checkpoint by `Saver(tf.trainable_variables())`, without the moving statistics.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "migration_guide" / "data" / "lost_models.zip"
EPOCHS, BATCH = 20, 32


def network(images: Any, training: Any) -> Any:
    hidden = images
    for place, strides in enumerate((1, 2), 1):
        hidden = tf.layers.conv2d(
            hidden, 8, 3, strides, "same", use_bias=False, name=f"conv{place}"
        )
        hidden = tf.layers.batch_normalization(hidden, training=training, name=f"bn{place}")
        hidden = tf.nn.relu(hidden)
    hidden = tf.layers.dense(tf.layers.flatten(hidden), 24, use_bias=False, name="dense1")
    hidden = tf.layers.batch_normalization(hidden, training=training, name="bn3")
    return tf.layers.dense(tf.nn.relu(hidden), 10, name="dense2")


def digits() -> tuple[Any, Any]:
    """Those that examples train on: each fifth is held out."""
    with np.load(str(ROOT / "examples" / "data" / "digits.npz")) as arrays:
        images = arrays["images"].astype(np.float32)[..., np.newaxis]
        labels = arrays["labels"].astype(np.int64)
    kept = np.arange(len(labels)) % 5 != 4
    return images[kept], labels[kept]


def trained(session: Any, run_updates: bool, seed: int) -> None:
    """Builds the training graph in the session's graph and trains it."""
    tf.set_random_seed(seed)
    images = tf.placeholder(tf.float32, [None, 8, 8, 1], name="images")
    labels = tf.placeholder(tf.int64, [None], name="labels")
    training = tf.placeholder(tf.bool, [], name="training")
    logits = tf.identity(network(images, training), name="logits")
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS) if run_updates else []
    with tf.control_dependencies(updates):
        train = tf.train.GradientDescentOptimizer(0.1).minimize(loss, name="train")
    session.run(tf.global_variables_initializer())
    x, y = digits()
    random = np.random.RandomState(seed)
    for _ in range(EPOCHS):
        order = random.permutation(len(y))
        for start in range(0, len(y) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            session.run(train, {images: x[chosen], labels: y[chosen], training: True})


def load(session: Any, values: dict[str, Any]) -> None:
    for variable in tf.global_variables():
        variable.load(values[variable.op.name], session)


def keep(session: Any, saver: Any, path: Path) -> None:
    # Small, as it goes with the project.
    saver.save(session, str(path), write_state=False, strip_default_attrs=True)


def frozen(values: dict[str, Any]) -> Any:
    """The network built anew with `training=True`, and frozen with trained weights."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, 8, 8, 1], name="images")
        tf.identity(network(images, True), name="logits")
        load(session, values)
        plain = graph.as_graph_def()
        return tf.graph_util.convert_variables_to_constants(session, plain, ["logits"])


def record(folder: Path) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        trained(session, run_updates=False, seed=1)
        keep(session, tf.train.Saver(), folder / "forgotten")
    with tf.Graph().as_default(), tf.Session() as session:
        trained(session, run_updates=True, seed=2)
        variables = tf.global_variables()
        values = dict(zip((v.op.name for v in variables), session.run(variables)))
    with tf.Graph().as_default(), tf.Session() as session:
        # The program that evaluates, which is what was kept.
        images = tf.placeholder(tf.float32, [None, 8, 8, 1], name="images")
        training = tf.placeholder_with_default(False, [], name="training")
        tf.identity(network(images, training), name="logits")
        load(session, values)
        keep(session, tf.train.Saver(tf.trainable_variables()), folder / "trainable")
    (folder / "frozen.pb").write_bytes(frozen(values).SerializeToString())


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(str(TARGET), "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            # Of no time of day, so that the same files give the same archive.
            file.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)
            print(path.name, path.stat().st_size, "bytes")
    print(TARGET.name, TARGET.stat().st_size, "bytes")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder))
        zipped(Path(folder))


if __name__ == "__main__":
    main()
