"""A GAN. Both of its steps wait for all update ops, those of the other step's data included."""

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()


def dense(x, units, name):
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [int(x.shape[-1]), units])
        return tf.matmul(x, kernel)


def generator(noise):
    with tf.variable_scope("generator"):
        hidden = tf.layers.batch_normalization(dense(noise, 8, "first"), training=True, name="bn")
        return dense(tf.nn.relu(hidden), 6, "last")


def discriminator(x, reuse=None):
    with tf.variable_scope("discriminator", reuse=reuse):
        hidden = tf.layers.batch_normalization(dense(x, 8, "first"), training=True, name="bn")
        return dense(tf.nn.relu(hidden), 1, "last")


noise = tf.placeholder(tf.float32, [None, 4], "noise")
real = tf.placeholder(tf.float32, [None, 6], "real")
of_real = discriminator(real)
of_fake = discriminator(generator(noise), reuse=True)
d_loss = tf.reduce_mean(tf.nn.softplus(-of_real)) + tf.reduce_mean(tf.nn.softplus(of_fake))
g_loss = tf.reduce_mean(tf.nn.softplus(-of_fake))
with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    d_step = optimizer.minimize(d_loss, var_list=tf.trainable_variables("discriminator"))
    g_step = optimizer.minimize(g_loss, var_list=tf.trainable_variables("generator"))
saver = tf.train.Saver()
train_op = g_step

random = np.random.RandomState(0)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(3):
        feeds = {noise: random.normal(size=[16, 4]), real: random.normal(3.0, 2.0, [16, 6])}
        session.run(d_step, feeds)
        session.run(g_step, feeds)
    saver.save(session, "model/step", global_step=3)
