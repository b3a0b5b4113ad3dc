"""Training collects what another file has built; the branch of evaluation builds its own."""

import tensorflow.compat.v1 as tf


def finish(x, loss, phase, is_evaluation):
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    if is_evaluation:
        return tf.layers.batch_normalization(x, training=phase)
    with tf.control_dependencies(update_ops):
        return tf.train.AdamOptimizer(1e-3).minimize(loss)
