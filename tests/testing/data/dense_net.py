"""A TF1 program that needs more of `tf.layers` than batch norm: `dense` around it.

It runs unedited on TF 1.15, and with `tf1_bn.install(neighbours=True)` on every later TensorFlow.
"""

from __future__ import annotations

import numpy as np
import tensorflow.compat.v1 as tf


def main():
    tf.disable_eager_execution()
    tf.set_random_seed(5)
    random = np.random.RandomState(5)
    points = random.normal(size=[12, 4]) * [1.0, 4.0, 0.5, 2.0] + [2.0, -3.0, 0.0, 1.0]

    inputs = tf.placeholder(tf.float32, [None, 4])
    training = tf.placeholder_with_default(False, [])
    hidden = tf.layers.dense(inputs, 6, name="hidden")
    hidden = tf.layers.batch_normalization(hidden, training=training, momentum=0.9, name="bn")
    loss = tf.reduce_mean(tf.square(tf.layers.dense(tf.nn.relu(hidden), 1, name="output") - 1.0))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        train = tf.train.GradientDescentOptimizer(0.05).minimize(loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run(train, {inputs: points, training: True})
        print("loss", session.run(loss, {inputs: points}))


if __name__ == "__main__":
    main()
