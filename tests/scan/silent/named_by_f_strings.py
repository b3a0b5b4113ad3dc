"""The update ops are found by names that f-strings make, and used in another one."""

import tensorflow.compat.v1 as tf


def build(x, training, name):
    return tf.layers.batch_normalization(x, training=training, name=name)


def train(x, training):
    loss = tf.reduce_mean(build(x, training, "bn"))
    graph = tf.get_default_graph()
    ops = [graph.get_operation_by_name(f"bn/AssignMovingAvg{suffix}") for suffix in ("", "_1")]
    with tf.control_dependencies(ops):
        return tf.train.AdamOptimizer(1e-3).minimize(loss)
