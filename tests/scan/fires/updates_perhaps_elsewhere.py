import tensorflow.compat.v1 as tf
from somebodys_framework import Trainer


class Mine(Trainer):
    def build(self, x, is_training):
        y = tf.layers.batch_normalization(x, training=is_training)  # finds: BN100
        return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(y))  # finds: BN111
