"""The network is built in one method, the train op in another, validation behind it."""

import tensorflow.compat.v1 as tf


class Trainer:
    def __init__(self, x):
        self.logits = self.net(x, True)

    def net(self, x, is_training):
        with tf.variable_scope("net", reuse=tf.AUTO_REUSE):
            return tf.layers.batch_normalization(x, training=is_training)

    def train_op(self, x_val):
        update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with tf.control_dependencies(update_ops):
            step = tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(self.logits))
        self.validation = self.net(x_val, False)
        return step
