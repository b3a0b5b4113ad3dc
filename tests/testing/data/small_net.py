"""A small TF1 program with batch norm in most of its forms; trains on made-up pictures.

It runs unedited on TF 1.15, and with `tf1_bn.install()` on every later TensorFlow.
"""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow.compat.v1 as tf


def network(images, training):
    """Pictures `[N, 5, 4, 2]` to three logits; `training` is a placeholder."""
    bn = tf.layers.batch_normalization
    kernel = tf.get_variable("kernel", [3, 3, 2, 7])
    net = tf.nn.conv2d(images, kernel, [1, 1, 1, 1], "SAME")
    net = tf.nn.relu(bn(net, training=training, momentum=0.9, name="fused"))
    step = tf.cast(tf.train.get_or_create_global_step(), tf.float32)
    clipping = {"rmax": 1.0 + 0.25 * step, "rmin": 0.5, "dmax": 0.5 * step}
    net = bn(net, training=training, renorm=True, renorm_clipping=clipping, name="renormed")
    rows = tf.reshape(net, [-1, 20, 7])
    rows = bn(rows, axis=1, training=training, scale=False, name="rows")
    net = tf.reduce_mean(rows, axis=1)
    net = bn(net, training=training, virtual_batch_size=4, name="ghosts")
    net = tf.nn.relu(bn(net, training=training, epsilon=1e-5, momentum=0.8, name="plain"))
    return tf.matmul(net, tf.get_variable("weights", [7, 3]))


def critic(images):
    """A network whose layer is used by two calls in each training run."""
    with tf.variable_scope("critic", reuse=tf.AUTO_REUSE):
        net = tf.layers.batch_normalization(images, training=True, name="shared")
        return tf.reduce_mean(tf.square(net - 1.0))


def main(flags):
    tf.disable_eager_execution()
    tf.set_random_seed(3)
    random = np.random.RandomState(3)
    labels = np.arange(12) % 3
    pictures = random.normal(size=[12, 5, 4, 2]) * [1.0, 4.0] + [2.0, -3.0]
    pictures += labels[:, None, None, None]

    images = tf.placeholder(tf.float32, [None, 5, 4, 2])
    training = tf.placeholder_with_default(False, [])
    logits = network(images, training)
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    loss += 0.1 * critic(images) + 0.1 * critic(2.0 * images + 1.0)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(updates):
        optimizer = tf.train.MomentumOptimizer(0.05, 0.9)
        train = optimizer.minimize(loss, tf.train.get_or_create_global_step())
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(flags.steps):
            last, _ = session.run([loss, train], {images: pictures, training: True})
        right = np.mean(np.argmax(session.run(logits, {images: pictures}), axis=1) == labels)
    print(f"loss {last:.3f} after {flags.steps} steps, inference right {right:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=25)
    main(parser.parse_args())
