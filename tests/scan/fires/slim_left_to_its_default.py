import tensorflow as tf
import tensorflow.contrib.slim as slim  # finds: BN201


def train_op(x):
    x = slim.batch_norm(x, updates_collections=None)  # finds: BN100 BN103
    return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(x))  # finds: BN203
