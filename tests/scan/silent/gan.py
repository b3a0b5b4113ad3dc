"""A GAN whose train ops each wait for the updates of their own network."""

import tensorflow.compat.v1 as tf


def generator(z, is_training):
    with tf.variable_scope("gen"):
        return tf.layers.batch_normalization(z, training=is_training)


def discriminator(x, is_training, reuse=None):
    with tf.variable_scope("disc", reuse=reuse):
        return tf.layers.batch_normalization(x, training=is_training)


def train_ops(z, x, is_training):
    fake = generator(z, is_training)
    gen_updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope="gen")
    real_score = discriminator(x, is_training)
    fake_score = discriminator(fake, is_training, reuse=True)
    disc_updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope="disc")
    with tf.control_dependencies(gen_updates):
        gen_op = tf.train.AdamOptimizer(1e-4).minimize(tf.reduce_mean(fake_score))
    with tf.control_dependencies(disc_updates):
        disc_op = tf.train.AdamOptimizer(1e-4).minimize(tf.reduce_mean(real_score))
    return gen_op, disc_op
