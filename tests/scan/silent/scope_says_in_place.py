"""contrib's layer, whose updates an arg_scope puts in place."""

import tensorflow as tf
from tensorflow.contrib.framework import arg_scope


def net(x, is_training):
    return tf.contrib.layers.batch_norm(x, is_training=is_training)


def train_op(x, is_training):
    with arg_scope([tf.contrib.layers.batch_norm], updates_collections=None):
        loss = tf.reduce_mean(net(x, is_training))
    return tf.train.AdamOptimizer(1e-3).minimize(loss)
