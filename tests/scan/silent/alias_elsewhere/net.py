from .common import norm, tf


def net(x, is_training):
    return norm(tf.layers.batch_normalization(x, training=is_training), training=is_training)
