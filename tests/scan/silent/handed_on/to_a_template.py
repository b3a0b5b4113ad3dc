import tensorflow.compat.v1 as tf


def build(x, is_training):
    return tf.layers.batch_normalization(x, training=is_training)


def train_op(x, held_out, phase):
    net = tf.make_template("net", build)
    loss = tf.reduce_mean(net(x, is_training=True))
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(update_ops):
        step = tf.train.AdamOptimizer().minimize(loss)
    with tf.variable_scope("net", reuse=True):
        return step, build(held_out, phase)


class Net:
    def __init__(self):
        self.net = tf.make_template("net", build)

    def train_op(self, x, held_out, phase):
        loss = tf.reduce_mean(self.net(x, is_training=True))
        update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with tf.control_dependencies(update_ops):
            step = tf.train.AdamOptimizer().minimize(loss)
        with tf.variable_scope("net", reuse=True):
            return step, build(held_out, phase)
