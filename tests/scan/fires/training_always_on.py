import functools

import tensorflow.compat.v1 as tf

norm = functools.partial(tf.layers.batch_normalization, training=True)  # finds: BN100


def net(x):
    return norm(x, momentum=0.9)  # finds: BN100 BN103


def train_op(x):
    loss = tf.reduce_mean(net(x))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return tf.train.AdamOptimizer(1e-3).minimize(loss)
