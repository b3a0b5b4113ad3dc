"""Two literal phases in one file, one for each graph."""

import tensorflow.compat.v1 as tf


def norm(x, is_training):
    if is_training:
        return tf.layers.batch_normalization(x, training=True, name="bn")
    return tf.layers.batch_normalization(x, training=False, name="bn", reuse=True)


def train(x, x_val):
    y = norm(x, True)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        op = tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(y))
    return op, norm(x_val, False)
