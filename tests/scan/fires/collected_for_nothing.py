import tensorflow.compat.v1 as tf


def train(x):
    x = tf.layers.batch_normalization(x, training=True)  # finds: BN100 BN103
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)  # finds: BN114
    return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(x))


def train_again(x):
    x = tf.layers.batch_normalization(x, training=True)  # finds: BN100
    tf.get_collection(tf.GraphKeys.UPDATE_OPS)  # finds: BN114
    return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(x))
