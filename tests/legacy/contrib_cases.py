"""One call of each function of contrib that is brought back, for TF 1.15.5 and for ours alike.

`python -m tests.legacy.contrib_cases` records them with TF 1.15's own contrib, and refuses any
other TensorFlow.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

RECORD = Path(__file__).with_name("data") / "contrib_tf115.json"
# Of each output, at most so many numbers are kept.
KEPT = 12

Case = Callable[[Any, Any], Any]


def images(tf: Any, channels: int = 3) -> Any:
    values = np.random.RandomState(1).uniform(-1, 1, [2, 6, 5, channels])
    return tf.constant(values, tf.float32)


def volumes(tf: Any) -> Any:
    return tf.constant(np.random.RandomState(2).uniform(-1, 1, [2, 4, 4, 4, 2]), tf.float32)


def rows(tf: Any, width: int = 4) -> Any:
    return tf.constant(np.random.RandomState(3).uniform(-1, 1, [3, width]), tf.float32)


def steps(tf: Any) -> Any:
    return tf.constant(np.random.RandomState(4).uniform(-1, 1, [2, 5, 3]), tf.float32)


def weights(tf: Any) -> Any:
    return tf.get_variable("w", [2, 3])


def scoped(tf: Any, contrib: Any) -> Any:
    """Batch normalization inside of `arg_scope`, by convolutions and by itself."""
    layers, framework = contrib.layers, contrib.framework
    norm = {"decay": 0.9, "updates_collections": None, "scale": True}
    with framework.arg_scope(
        [layers.conv2d, layers.fully_connected],
        normalizer_fn=layers.batch_norm,
        weights_regularizer=layers.l2_regularizer(0.1),
    ), framework.arg_scope([layers.batch_norm], **norm):
        net = layers.conv2d(images(tf), 4, 3, scope="conv")
        net = layers.fully_connected(layers.flatten(net), 5, scope="fc")
        return layers.batch_norm(net, is_training=False, scope="last")


def resnet(tf: Any, contrib: Any) -> Any:
    """The first block of a net of slim, whose batch normalization is in its own `arg_scope`."""
    nets, slim = importlib.import_module("tensorflow.contrib.slim.nets"), contrib.slim
    block = nets.resnet_v1.resnet_v1_block("block1", base_depth=2, num_units=2, stride=2)
    with slim.arg_scope(nets.resnet_v1.resnet_arg_scope()):
        return nets.resnet_v1.resnet_v1(images(tf), [block], 3, scope="small")[0]


def optimized(tf: Any, contrib: Any) -> Any:
    step = tf.train.get_or_create_global_step()
    loss = tf.reduce_sum(tf.square(weights(tf)))
    train = contrib.layers.optimize_loss(loss, step, 0.1, "SGD", clip_gradients=0.5)
    # Fetched together, the loss may be that of before or after the step.
    tf.add_to_collection("update_ops", train)
    return []


def reversible(tf: Any, contrib: Any) -> Any:
    first, second = tf.split(rows(tf), 2, axis=1)

    def dense(value: Any) -> Any:
        return contrib.layers.fully_connected(value, 2, activation_fn=tf.tanh)

    return contrib.layers.rev_block(first, second, dense, dense, num_layers=2)


def linear(tf: Any, contrib: Any) -> Any:
    """As cells of programs take it, from where it stood."""
    home = importlib.import_module("tensorflow.contrib.rnn.python.ops.core_rnn_cell")
    with tf.variable_scope("gates"):
        gates = home._linear([rows(tf), rows(tf, 2)], 3, True)
    with tf.variable_scope("plain"):
        return gates, home._linear(rows(tf), 2, False)


def unrolled(cell: Callable[[Any], Any]) -> Case:
    """The case of a cell, over a batch of sequences."""

    def build(tf: Any, contrib: Any) -> Any:
        outputs, state = tf.nn.dynamic_rnn(cell(contrib.rnn), steps(tf), dtype=tf.float32)
        return outputs, state

    return build


LAYERS: dict[str, Case] = {
    "apply_regularization": lambda tf, c: c.layers.apply_regularization(
        c.layers.l2_regularizer(0.3), [weights(tf)]
    ),
    "avg_pool2d": lambda tf, c: c.layers.avg_pool2d(images(tf), 2),
    "avg_pool3d": lambda tf, c: c.layers.avg_pool3d(volumes(tf), 2),
    "batch_norm": lambda tf, c: c.layers.batch_norm(images(tf), scale=True),
    "batch_norm in arg_scope": scoped,
    "bias_add": lambda tf, c: c.layers.bias_add(images(tf)),
    "conv1d": lambda tf, c: c.layers.conv1d(steps(tf), 4, 3),
    "conv2d": lambda tf, c: c.layers.conv2d(images(tf), 4, [3, 3], stride=2),
    "conv2d with batch_norm": lambda tf, c: c.layers.conv2d(
        images(tf), 4, 3, normalizer_fn=c.layers.batch_norm, normalizer_params={"scale": True}
    ),
    "conv2d_in_plane": lambda tf, c: c.layers.conv2d_in_plane(images(tf), 3),
    "conv2d_transpose": lambda tf, c: c.layers.conv2d_transpose(images(tf), 4, 3, stride=2),
    "conv3d": lambda tf, c: c.layers.conv3d(volumes(tf), 3, 2),
    "conv3d_transpose": lambda tf, c: c.layers.conv3d_transpose(volumes(tf), 3, 2),
    "convolution2d": lambda tf, c: c.layers.convolution2d(images(tf), 2, 3, rate=2),
    "dense_to_sparse": lambda tf, c: c.layers.dense_to_sparse([[1, 0], [2, 3]]).values,
    "dropout": lambda tf, c: c.layers.dropout(rows(tf), is_training=False),
    "elu": lambda tf, c: c.layers.elu(rows(tf), 3),
    "embed_sequence": lambda tf, c: c.layers.embed_sequence([[1, 2]], 5, 3),
    "embed_sequence unique": lambda tf, c: c.layers.embed_sequence(
        tf.constant([[1, 1], [4, 1]]), 5, 3, unique=True, trainable=False, scope="words"
    ),
    "flatten": lambda tf, c: c.layers.flatten(images(tf)),
    "fully_connected": lambda tf, c: c.layers.fully_connected(rows(tf), 3),
    "fully_connected with batch_norm": lambda tf, c: c.layers.fully_connected(
        rows(tf), 3, normalizer_fn=c.layers.batch_norm
    ),
    "group_norm": lambda tf, c: c.layers.group_norm(images(tf, 4), groups=2),
    "images_to_sequence": lambda tf, c: c.layers.images_to_sequence(images(tf)),
    "instance_norm": lambda tf, c: c.layers.instance_norm(images(tf)),
    "l1_l2_regularizer": lambda tf, c: c.layers.l1_l2_regularizer(0.1, 0.2)(weights(tf)),
    "l1_regularizer": lambda tf, c: c.layers.l1_regularizer(0.1)(weights(tf)),
    "l2_regularizer": lambda tf, c: c.layers.l2_regularizer(0.1)(weights(tf)),
    "layer_norm": lambda tf, c: c.layers.layer_norm(images(tf)),
    "layer_norm of the last axis": lambda tf, c: c.layers.layer_norm(
        images(tf), begin_norm_axis=-1, activation_fn=tf.nn.relu
    ),
    "legacy_fully_connected": lambda tf, c: c.layers.legacy_fully_connected(rows(tf), 3),
    "linear": lambda tf, c: c.layers.linear(rows(tf), 3),
    "max_pool2d": lambda tf, c: c.layers.max_pool2d(images(tf), [2, 2], stride=1),
    "max_pool3d": lambda tf, c: c.layers.max_pool3d(volumes(tf), 2),
    "maxout": lambda tf, c: c.layers.maxout(rows(tf), 2),
    "one_hot_encoding": lambda tf, c: c.layers.one_hot_encoding(tf.constant([0, 2]), 3),
    "optimize_loss": optimized,
    "relu": lambda tf, c: c.layers.relu(rows(tf), 3),
    "relu6": lambda tf, c: c.layers.relu6(rows(tf), 3),
    "repeat": lambda tf, c: c.layers.repeat(images(tf), 2, c.layers.conv2d, 3, 3),
    "rev_block": reversible,
    "scale_gradient": lambda tf, c: tf.gradients(
        c.layers.scale_gradient(tf.square(weights(tf)), 0.5), tf.global_variables()
    ),
    "separable_conv2d": lambda tf, c: c.layers.separable_conv2d(
        images(tf), 4, 3, depth_multiplier=2, normalizer_fn=c.layers.batch_norm
    ),
    "separable_conv2d without channels": lambda tf, c: c.layers.separable_conv2d(
        images(tf), None, 3, depth_multiplier=1
    ),
    "sequence_to_images": lambda tf, c: c.layers.sequence_to_images(steps(tf), 1),
    "softmax": lambda tf, c: c.layers.softmax(rows(tf)),
    "spatial_softmax": lambda tf, c: c.layers.spatial_softmax(images(tf)),
    "stack": lambda tf, c: c.layers.stack(rows(tf), c.layers.fully_connected, [3, 2]),
    "sum_regularizer": lambda tf, c: c.layers.sum_regularizer(
        [c.layers.l1_regularizer(0.1), c.layers.l2_regularizer(0.2)]
    )(weights(tf)),
    "summarize_tensor": lambda tf, c: tf.strings.length(c.layers.summarize_tensor(rows(tf))),
    "unit_norm": lambda tf, c: c.layers.unit_norm(rows(tf), 1),
    "variance_scaling_initializer": lambda tf, c: c.layers.variance_scaling_initializer(seed=5)(
        [3, 3, 4, 2]
    ),
    "xavier_initializer": lambda tf, c: c.layers.xavier_initializer(seed=5)([4, 3]),
    "xavier_initializer normal": lambda tf, c: c.layers.xavier_initializer(False, seed=5)([4, 3]),
    "xavier_initializer_conv2d": lambda tf, c: c.layers.xavier_initializer_conv2d(seed=5)([2, 2]),
}
CELLS: dict[str, Case] = {
    "BasicLSTMCell": unrolled(lambda rnn: rnn.BasicLSTMCell(4)),
    "BasicRNNCell": unrolled(lambda rnn: rnn.BasicRNNCell(4)),
    "DropoutWrapper": unrolled(lambda rnn: rnn.DropoutWrapper(rnn.GRUCell(4), 1.0)),
    "GRUCell": unrolled(lambda rnn: rnn.GRUCell(4)),
    "InputProjectionWrapper": unrolled(lambda rnn: rnn.InputProjectionWrapper(rnn.GRUCell(4), 6)),
    "LSTMCell": unrolled(lambda rnn: rnn.LSTMCell(4, use_peepholes=True, num_proj=3)),
    "LayerNormBasicLSTMCell": unrolled(
        lambda rnn: rnn.LayerNormBasicLSTMCell(4, norm_gain=0.5, norm_shift=0.1)
    ),
    "LayerNormBasicLSTMCell without": unrolled(
        lambda rnn: rnn.LayerNormBasicLSTMCell(4, forget_bias=0.5, layer_norm=False)
    ),
    "MultiRNNCell": unrolled(
        lambda rnn: rnn.MultiRNNCell(
            [
                rnn.OutputProjectionWrapper(rnn.GRUCell(4), 3, lambda value: 2 * value),
                rnn.ResidualWrapper(rnn.GRUCell(3)),
            ]
        )
    ),
    "stack_bidirectional_dynamic_rnn": lambda tf, c: c.rnn.stack_bidirectional_dynamic_rnn(
        [c.rnn.GRUCell(4), c.rnn.GRUCell(2)],
        [c.rnn.GRUCell(4), c.rnn.GRUCell(2)],
        steps(tf),
        dtype=tf.float32,
        sequence_length=[5, 3],
    ),
    "stack_bidirectional_rnn": lambda tf, c: c.rnn.stack_bidirectional_rnn(
        [c.rnn.GRUCell(4), c.rnn.GRUCell(2)],
        [c.rnn.GRUCell(4), c.rnn.GRUCell(2)],
        tf.unstack(steps(tf), axis=1),
        dtype=tf.float32,
        sequence_length=[5, 3],
    ),
    "transpose_batch_time": lambda tf, c: c.rnn.transpose_batch_time(steps(tf)),
    "_linear": linear,
    "static_rnn": lambda tf, c: c.rnn.static_rnn(
        c.rnn.LSTMCell(4), tf.unstack(steps(tf), axis=1), dtype=tf.float32
    ),
}
OTHERS: dict[str, Case] = {
    "get_placeholders": lambda tf, c: tf.constant(
        len([tf.placeholder(tf.float32, name="a"), tf.placeholder_with_default(1.0, [])])
        + 10 * len(c.framework.get_placeholders(tf.get_default_graph()))
    ),
    "sequence_loss": lambda tf, c: c.legacy_seq2seq.sequence_loss(
        [rows(tf), rows(tf) + 1], [tf.constant([0, 1, 2])] * 2, [tf.constant([1.0, 0.5, 1])] * 2
    ),
    "sequence_loss_by_example": lambda tf, c: c.legacy_seq2seq.sequence_loss_by_example(
        [rows(tf)], [tf.constant([0, 1, 2])], [tf.constant([1.0, 0.5, 1])]
    ),
    "set_difference": lambda tf, c: (
        c.metrics.set_difference(tf.constant([[1, 2, 3]]), tf.constant([[2, 5, 6]])).values
    ),
    "slim.nets.resnet_v1": resnet,
}
CASES: dict[str, Case] = {**LAYERS, **CELLS, **OTHERS}


def outcome(tf: Any, contrib: Any, case: Case) -> dict[str, Any]:
    """Variables in the order in which they are made, with their collections, and numbers."""
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(11)
        made = case(tf, contrib)
        outputs = [tf.convert_to_tensor(each) for each in flat(made)]
        variables = tf.global_variables()
        found: dict[str, Any] = {
            "variables": [
                [variable.op.name, variable.shape.as_list(), collections_of(graph, variable)]
                for variable in variables
            ],
            "updates": [getattr(item, "op", item).name for item in tf.get_collection("update_ops")],
            "losses": len(tf.get_collection("regularization_losses")),
        }
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            for number, variable in enumerate(variables):
                if variable.dtype.base_dtype == tf.float32:
                    draw = np.random.RandomState(100 + number).uniform(0.2, 1.2, variable.shape)
                    variable.load(draw, session)
            found["outputs"] = [sampled(value) for value in session.run(outputs)]
            session.run(tf.get_collection("update_ops"))
            found["after"] = [sampled(value) for value in session.run(variables)]
    return found


def collections_of(graph: Any, variable: Any) -> list[str]:
    keys = graph.get_all_collection_keys()
    return sorted(
        key for key in keys if any(each is variable for each in graph.get_collection(key))
    )


def flat(made: Any) -> Sequence[Any]:
    if isinstance(made, (list, tuple)):
        return [each for part in made for each in flat(part)]
    return [made]


def sampled(value: Any) -> list[Any]:
    """The shape and at most KEPT of the numbers."""
    numbers = np.asarray(value, np.float64).ravel()
    kept = numbers[:: max(1, -(-len(numbers) // KEPT))]
    return [list(np.shape(value)), [float(f"{number:.7g}") for number in kept]]


def main() -> None:
    import tensorflow as tf

    assert tf.__version__.startswith("1.15."), "the records are TF 1.15's own"
    found = {name: outcome(tf, tf.contrib, case) for name, case in CASES.items()}
    texts = {name: json.dumps(found[name], separators=(",", ":")) for name in sorted(found)}
    lines = [f"{json.dumps(name)}:{text}" for name, text in texts.items()]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
