import tensorflow.compat.v1 as tf


def net(x, is_training):
    return tf.layers.batch_normalization(x, training=is_training)


def train_op(x, is_training):
    return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(net(x, is_training)))
