"""The update ops are kept in a global, which another file runs."""

import tensorflow.compat.v1 as tf


def build(x, is_training):
    return tf.layers.batch_normalization(x, training=is_training)


def remember():
    global everything
    everything = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
