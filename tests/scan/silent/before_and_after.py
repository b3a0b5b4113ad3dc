"""The updates of one part are what has come since; validation is built behind the train op."""

import tensorflow.compat.v1 as tf


def model(x, is_training, reuse=None):
    with tf.variable_scope("model", reuse=reuse):
        return tf.layers.batch_normalization(x, training=is_training)


def train_op(x, x_val):
    before = set(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    y = model(x, True)
    updates = set(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) - before
    with tf.control_dependencies(updates):
        train = tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(y))
    return train, model(x_val, False, reuse=True)
