"""A small program on `tf.contrib.layers.batch_norm`, which is also `slim.batch_norm`.

Where TensorFlow has no contrib it takes `tf1_bn.contrib`.
"""

from __future__ import annotations

import numpy as np
import tensorflow.compat.v1 as tf

if tf.__version__.startswith("1."):
    from tensorflow.contrib.framework import arg_scope
    from tensorflow.contrib.layers import batch_norm

    def network(images, training, weights):
        with arg_scope([batch_norm], is_training=training, decay=0.9, scale=True):
            return layers(images, weights)

else:
    import functools

    from tf1_bn.contrib import batch_norm as plain

    def network(images, training, weights):
        global batch_norm
        batch_norm = functools.partial(plain, is_training=training, decay=0.9, scale=True)
        return layers(images, weights)


def layers(images, weights):
    """Each call takes another way through contrib's code."""
    net = batch_norm(images, activation_fn=tf.nn.relu, scope="by_the_layer")
    net = batch_norm(net, updates_collections=None, epsilon=1e-3, scope="in_place")
    net = tf.reduce_mean(net, [1, 2])
    net = batch_norm(net, scope="rank_2_is_fused")
    net = batch_norm(net, zero_debias_moving_mean=True, scale=False, scope="debiased")
    net = batch_norm(net, batch_weights=weights, scope="weighted")
    return batch_norm(net, fused=False, center=False, scope="unfused")


def main():
    tf.disable_eager_execution()
    tf.set_random_seed(5)
    random = np.random.RandomState(5)
    images = tf.placeholder(tf.float32, [None, 4, 3, 5])
    training = tf.placeholder(tf.bool, [])
    weights = tf.placeholder(tf.float32, [None])
    net = network(images, training, weights)
    loss = tf.reduce_mean(tf.square(net - tf.range(5.0)))
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(updates):
        train = tf.train.GradientDescentOptimizer(0.05).minimize(loss)
    feed = {weights: np.linspace(0.5, 1.5, 7)}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(6):
            feed[images] = random.normal(size=[7, 4, 3, 5]) * [1, 2, 3, 4, 5] + [5, 4, 3, 2, 1]
            last, _ = session.run([loss, train], {**feed, training: True})
        session.run(net, {**feed, training: False})
    print(f"loss {last:.3f}")


if __name__ == "__main__":
    main()
