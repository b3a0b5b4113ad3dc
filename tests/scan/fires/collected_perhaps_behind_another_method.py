import tensorflow.compat.v1 as tf


class Trainer:
    def __init__(self, x, phase):
        self.logits = self.net(x, phase)

    def net(self, x, phase):
        return tf.layers.batch_normalization(x, training=phase)  # finds: BN100

    def train_op(self, x, phase):
        update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)  # finds: BN113
        again = self.net(x, phase)
        with tf.control_dependencies(update_ops):
            return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(again))
