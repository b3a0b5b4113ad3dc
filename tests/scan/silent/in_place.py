"""contrib's layer with updates in place, wrapped in a class as many GANs have it."""

import tensorflow as tf


class batch_norm:
    def __init__(self, epsilon=1e-5, momentum=0.9, name="batch_norm"):
        self.epsilon, self.momentum, self.name = epsilon, momentum, name

    def __call__(self, x, train=True):
        return tf.contrib.layers.batch_norm(
            x,
            decay=self.momentum,
            updates_collections=None,
            epsilon=self.epsilon,
            scale=True,
            is_training=train,
            scope=self.name,
        )


g_bn0 = batch_norm(name="g_bn0")


def train_op(z):
    loss = tf.reduce_mean(g_bn0(z))
    return tf.train.AdamOptimizer(2e-4, beta1=0.5).minimize(loss)


def sampler(z):
    return g_bn0(z, train=False)
