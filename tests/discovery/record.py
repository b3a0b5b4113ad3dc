# SPDX-License-Identifier: Apache-2.0
"""Records the graphs of `data` with TensorFlow 1.15.5: `python tests/discovery/record.py`.

The real layers of that version, and code by hand as it was written then; no TensorFlow of today
can build them.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, Callable

import tensorflow as tf  # type: ignore[import-untyped]
from tensorflow.contrib import layers as contrib_layers  # type: ignore[import-not-found]
from tensorflow.contrib import slim

DATA = Path(__file__).parent / "data"


def images() -> Any:
    return tf.placeholder(tf.float32, [None, 4, 4, 3], "images")


def rows() -> Any:
    return tf.placeholder(tf.float32, [None, 3], "rows")


def phase() -> Any:
    return tf.placeholder(tf.bool, [], "phase")


def net(training: Any, **kwargs: Any) -> None:
    """Convolution, batch normalization, a head, and a gradient step."""
    hidden = tf.layers.conv2d(images(), 4, 3, name="conv", use_bias=False)
    hidden = tf.layers.batch_normalization(hidden, training=training, name="bn", **kwargs)
    head = tf.layers.dense(tf.layers.flatten(tf.nn.relu(hidden)), 2, name="head")
    loss = tf.reduce_mean(tf.square(head))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        tf.train.GradientDescentOptimizer(0.1).minimize(loss, name="train")


def towers() -> None:
    for tower in range(2):
        with tf.name_scope(f"tower_{tower}"), tf.variable_scope("", reuse=tower > 0):
            tf.layers.batch_normalization(rows(), training=True, name="bn")


def slim_block() -> None:
    with slim.arg_scope(
        [slim.conv2d],
        normalizer_fn=slim.batch_norm,
        normalizer_params={"is_training": phase(), "updates_collections": "up"},
    ):
        short = slim.conv2d(images(), 3, 1, scope="conv1")
        tf.nn.relu(short + slim.conv2d(short, 3, 3, scope="conv2", activation_fn=None))


def by_hand() -> None:
    """As in threads of 2016: moments, an ExponentialMovingAverage, a conditional."""
    hidden, training = images(), phase()
    beta = tf.Variable(tf.zeros([3]), name="offset")
    gamma = tf.Variable(tf.ones([3]), name="factor")
    mean, variance = tf.nn.moments(hidden, [0, 1, 2], name="moments")
    average = tf.train.ExponentialMovingAverage(0.9)

    def with_update() -> Any:
        with tf.control_dependencies([average.apply([mean, variance])]):
            return tf.identity(mean), tf.identity(variance)

    chosen = tf.cond(
        training, with_update, lambda: (average.average(mean), average.average(variance))
    )
    tf.nn.batch_normalization(hidden, *chosen, beta, gamma, 1e-3, name="out")


def divided() -> None:
    """(x - mean) / sqrt(variance + epsilon), with an assignment of one's own."""
    hidden = rows()
    mean, variance = tf.nn.moments(hidden, [0])
    moving = tf.Variable(tf.zeros([3]), trainable=False, name="pop_mean")
    spread = tf.Variable(tf.ones([3]), trainable=False, name="pop_var")
    tf.assign(moving, moving * 0.9 + mean * 0.1, name="move_mean")
    tf.assign(spread, spread * 0.9 + variance * 0.1, name="move_var")
    scale = tf.Variable(tf.ones([3]), name="scale")
    shift = tf.Variable(tf.zeros([3]), name="shift")
    tf.add(scale * ((hidden - mean) / tf.sqrt(variance + 1e-5)), shift, name="normal")
    tf.add(scale * ((hidden - moving) / tf.sqrt(spread + 1e-5)), shift, name="tested")


def keras() -> None:
    layer = tf.keras.layers.BatchNormalization(name="bn")
    layer(images())


def others() -> None:
    """What must not be found."""
    hidden = images()
    contrib_layers.layer_norm(hidden)
    contrib_layers.instance_norm(hidden)
    contrib_layers.group_norm(hidden, 3)
    tf.keras.layers.LayerNormalization()(hidden)
    tf.nn.l2_normalize(hidden, -1)
    tf.nn.l2_normalize(hidden, 0)
    tf.nn.softmax(hidden)
    tf.image.per_image_standardization(tf.zeros([4, 4, 3]))
    weights = tf.Variable(tf.ones([3]), name="weights")
    loss = tf.reduce_sum(hidden * weights)
    tf.train.AdamOptimizer().minimize(loss)
    tf.train.RMSPropOptimizer(0.1).minimize(loss)


GRAPHS: dict[str, Callable[[], None]] = {
    "fused_train": lambda: net(True),
    "fused_phase": lambda: net(phase()),
    "fused_inference": lambda: net(False),
    "unfused_train": lambda: net(True, fused=False),
    "unfused_phase": lambda: net(phase(), fused=False),
    "first_axis": lambda: net(True, fused=False, axis=1),
    "renorm": lambda: net(True, renorm=True),
    "renorm_phase": lambda: net(phase(), renorm=True),
    "ghosts": lambda: net(True, virtual_batch_size=2),
    "towers": towers,
    "contrib_fused": lambda: contrib_layers.batch_norm(
        images(), is_training=phase(), scale=True, fused=True
    ),
    "contrib_unfused": lambda: contrib_layers.batch_norm(
        images(), is_training=phase(), fused=False
    ),
    "contrib_in_place": lambda: contrib_layers.batch_norm(
        images(), is_training=True, updates_collections=None
    ),
    "slim_block": slim_block,
    "keras": keras,
    "by_hand": by_hand,
    "divided": divided,
    "others": others,
}


def record(name: str, build: Callable[[], Any]) -> None:
    with tf.Graph().as_default() as graph:
        build()
        keep(name, graph.as_graph_def(add_shapes=True))


def resource(name: str, training: Any, **kwargs: Any) -> None:
    with tf.Graph().as_default() as graph, tf.variable_scope("", use_resource=True):
        net(training() if callable(training) else training, **kwargs)
        keep(name, graph.as_graph_def(add_shapes=True))


def control_flow_v2(name: str, **kwargs: Any) -> None:
    tf.enable_control_flow_v2()
    resource(name, phase, **kwargs)
    tf.disable_control_flow_v2()


def frozen(name: str, training: bool, fused: bool) -> None:
    with tf.Graph().as_default() as graph, tf.Session() as session:
        net(training, fused=fused)
        session.run(tf.global_variables_initializer())
        plain = graph.as_graph_def()
        keep(name, tf.graph_util.convert_variables_to_constants(session, plain, ["head/BiasAdd"]))


def folded(name: str) -> None:
    from tensorflow.python.tools.optimize_for_inference_lib import (  # type: ignore[import-not-found]
        fold_batch_norms,
    )

    with tf.Graph().as_default() as graph, tf.Session() as session:
        net(False)
        session.run(tf.global_variables_initializer())
        plain = tf.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), ["head/BiasAdd"]
        )
        plain = tf.graph_util.remove_training_nodes(plain)
        for node in plain.node:
            if node.op == "FusedBatchNormV3":
                node.op = "FusedBatchNorm"
                for key in ("U", "_output_shapes"):
                    node.attr.pop(key, None)
        keep(name, fold_batch_norms(plain))


def keep(name: str, graph_def: Any) -> None:
    data = _zipped(graph_def.SerializeToString(deterministic=True))
    (DATA / f"{name}.pb.gz").write_bytes(data)
    print(name, len(graph_def.node), "nodes", len(data), "bytes")


def _zipped(content: bytes) -> bytes:
    import io

    target = io.BytesIO()
    # No time of day, so that the same graph gives the same file.
    with gzip.GzipFile("", "wb", 9, target, mtime=0) as file:
        file.write(content)
    return target.getvalue()


def main() -> None:
    for name, build in GRAPHS.items():
        record(name, build)
    resource("resource_train", True)
    resource("resource_phase_unfused", phase, fused=False)
    control_flow_v2("v2_fused")
    control_flow_v2("v2_unfused", fused=False)
    frozen("frozen_inference", False, True)
    frozen("frozen_training", True, True)
    frozen("frozen_unfused", False, False)
    folded("folded")


if __name__ == "__main__":
    main()
