import tensorflow.compat.v1 as tf


def net(x, is_training):
    y = tf.layers.batch_normalization(x, training=is_training)
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    return y


def train_op(x, is_training):
    loss = tf.reduce_mean(net(x, is_training))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return tf.train.AdamOptimizer().minimize(loss)
