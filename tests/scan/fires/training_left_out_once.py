import tensorflow.compat.v1 as tf


def net(x, is_training):
    x = tf.layers.batch_normalization(x, training=is_training)  # finds: BN100
    return tf.layers.batch_normalization(x)  # finds: BN100 BN102


def train_op(x):
    loss = tf.reduce_mean(net(x, True))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return tf.train.AdamOptimizer(1e-3).minimize(loss)
