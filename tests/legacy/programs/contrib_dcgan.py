"""A DCGAN of 2017 on tf.contrib.layers: norms that move in place, one optimizer for each side."""

import json

import numpy as np
import tensorflow as tf
import tensorflow.contrib.layers as layers
from tensorflow.contrib.framework import arg_scope

flags = tf.app.flags
flags.DEFINE_integer("steps", 3, "training steps")
flags.DEFINE_float("learning_rate", 0.002, "of Adam")
FLAGS = flags.FLAGS

BATCH, NOISE = 8, 5


class batch_norm(object):
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


def lrelu(x, leak=0.2):
    return tf.maximum(x, leak * x)


def init(seed):
    return layers.xavier_initializer(uniform=False, seed=seed)


def generator(z, train=True, reuse=False):
    with tf.variable_scope("generator", reuse=reuse):
        net = layers.fully_connected(
            z, 4 * 4 * 8, activation_fn=None, weights_initializer=init(1), scope="project"
        )
        net = tf.nn.relu(batch_norm(name="g_bn0")(tf.reshape(net, [-1, 4, 4, 8]), train))
        with arg_scope(
            [layers.conv2d_transpose], kernel_size=[5, 5], stride=2, weights_initializer=init(2)
        ):
            net = layers.conv2d_transpose(net, 4, activation_fn=None, scope="up1")
            net = tf.nn.relu(batch_norm(name="g_bn1")(net, train))
            return layers.conv2d_transpose(net, 1, activation_fn=tf.nn.tanh, scope="up2")


def discriminator(image, reuse=False):
    with tf.variable_scope("discriminator", reuse=reuse):
        with arg_scope(
            [layers.conv2d],
            activation_fn=lrelu,
            stride=2,
            weights_initializer=init(3),
            weights_regularizer=layers.l2_regularizer(1e-4),
        ):
            net = layers.conv2d(image, 4, 5, scope="d_h0")
            net = layers.conv2d(
                net,
                8,
                5,
                normalizer_fn=layers.batch_norm,
                normalizer_params={"updates_collections": None, "scale": True, "decay": 0.9},
                scope="d_h1",
            )
        return layers.linear(layers.flatten(net), 1, weights_initializer=init(4), scope="d_logits")


def cost(logits, target):
    labels = tf.ones_like(logits) * target
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=labels))


def main(_):
    tf.set_random_seed(1)
    images = tf.placeholder(tf.float32, [BATCH, 16, 16, 1], name="real_images")
    z = tf.placeholder(tf.float32, [None, NOISE], name="z")
    fake = generator(z)
    real_logits, fake_logits = discriminator(images), discriminator(fake, reuse=True)
    d_loss = cost(real_logits, 0.9) + cost(fake_logits, 0.0)
    d_loss += tf.add_n(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES))
    g_loss = cost(fake_logits, 1.0)
    sampler = generator(z, train=False, reuse=True)

    t_vars = tf.trainable_variables()
    adam = tf.train.AdamOptimizer(FLAGS.learning_rate, beta1=0.5)
    d_optim = adam.minimize(d_loss, var_list=[v for v in t_vars if "discriminator" in v.name])
    g_optim = adam.minimize(g_loss, var_list=[v for v in t_vars if "generator" in v.name])

    rng = np.random.RandomState(0)
    losses = []
    with tf.Session() as sess:
        tf.global_variables_initializer().run()
        for _ in range(FLAGS.steps):
            feed = {
                images: rng.uniform(-1, 1, [BATCH, 16, 16, 1]),
                z: rng.uniform(-1, 1, [BATCH, NOISE]),
            }
            losses.append([float(x) for x in sess.run([d_loss, g_loss], feed)])
            sess.run(d_optim, feed)
            sess.run(g_optim, feed)
        sample = sess.run(sampler, {z: feed[z]})
        losses.append(float(np.abs(sample).mean()))
    print(json.dumps({"variables": [v.name for v in tf.global_variables()], "losses": losses}))


if __name__ == "__main__":
    tf.app.run()
