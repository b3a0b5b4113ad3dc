"""The same with tf1_bn, whose train op has the updates."""

import tensorflow.compat.v1 as tf

import tf1_bn


def train(x):
    y = tf1_bn.batch_normalization(x, training=tf.placeholder_with_default(False, []))
    return tf1_bn.minimize(tf.train.AdamOptimizer(1e-3), tf.reduce_mean(y))
