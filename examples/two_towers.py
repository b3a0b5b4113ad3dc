# SPDX-License-Identifier: Apache-2.0
"""Two towers share their variables by reuse, each with half of the batch and its own statistics.

The way multi-GPU programs of TF1 are written, here on the CPU: gradients are averaged, and only the
first tower's update ops are run, picked by their name scope, so that the towers do not write the
same moving statistics at the same time. Prints what is shared, how the moving mean compares
with one computed in NumPy from tower 0's half, and the held-out accuracy after training.
"""

from __future__ import annotations

import argparse
from typing import Any

import example_support as support
import numpy as np
import tensorflow.compat.v1 as tf
from digits_data import load_digits, shuffled_batches

import tf1_bn

BATCH_SIZE = 64
MOMENTUM = 0.9


def net(pixels: Any, training: Any) -> Any:
    hidden_kernel = tf.get_variable(
        "hidden_kernel", [64, 64], initializer=tf.glorot_uniform_initializer()
    )
    kernel = tf.get_variable("kernel", [64, 10], initializer=tf.glorot_uniform_initializer())
    hidden = tf1_bn.batch_normalization(pixels, momentum=MOMENTUM, training=training, name="norm0")
    hidden = tf1_bn.batch_normalization(
        tf.matmul(hidden, hidden_kernel), momentum=MOMENTUM, training=training, name="norm1"
    )
    return tf.matmul(tf.nn.relu(hidden), kernel)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=support.whole_number(1, 1000), default=20)
    parser.add_argument("--seed", type=support.whole_number(0), default=0)
    options = parser.parse_args()
    support.quiet(tf)
    tf.disable_v2_behavior()
    tf.set_random_seed(options.seed)
    random = np.random.RandomState(options.seed)
    split = load_digits()

    images = tf.placeholder(tf.float32, [None, 8, 8, 1])
    labels = tf.placeholder(tf.int64, [None])
    pixels = tf.reshape(images, [-1, 64])
    optimizer = tf.train.AdamOptimizer(3e-3)
    tower_gradients = []
    for tower, (tower_pixels, tower_labels) in enumerate(
        zip(tf.split(pixels, 2), tf.split(labels, 2))
    ):
        with tf.name_scope(f"tower_{tower}"), tf.variable_scope("net", reuse=tower > 0):
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels=tower_labels, logits=net(tower_pixels, training=True)
                )
            )
        tower_gradients.append(optimizer.compute_gradients(loss))
    # Inference shares the variables as a third user of them; it brings no update ops.
    with tf.name_scope("inference"), tf.variable_scope("net", reuse=True):
        prediction = tf.argmax(net(pixels, training=False), axis=1)

    shared = {v.op.name: v for v in tf.global_variables() if v.op.name.startswith("net/norm")}
    moving_mean = shared["net/norm0/moving_mean"]
    print(f"variables of the two normalizations, shared by all: {len(shared)}")

    averaged = []
    for (first, variable), (second, _) in zip(*tower_gradients):
        averaged.append(((first + second) / 2.0, variable))
    updates = {
        tower: tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope=f"tower_{tower}/")
        for tower in (0, 1)
    }
    with tf.control_dependencies(updates[0]):
        train_op = optimizer.apply_gradients(averaged)

    print(f"update ops: {len(updates[0])} of tower 0 (run), {len(updates[1])} of tower 1 (not run)")

    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        expected = session.run(moving_mean).astype(np.float64)
        worst = 0.0
        for epoch in range(options.epochs):
            for batch in shuffled_batches(split.training, BATCH_SIZE, random):
                session.run(train_op, {images: batch.images, labels: batch.labels})
                if epoch == 0:
                    # The first normalization sees raw pixels, so NumPy can follow its mean.
                    tower_0_mean = batch.images[: BATCH_SIZE // 2].mean(axis=0).reshape([-1])
                    expected = MOMENTUM * expected + (1.0 - MOMENTUM) * tower_0_mean
                    worst = max(worst, float(np.max(np.abs(session.run(moving_mean) - expected))))
        print(f"moving mean against NumPy, first epoch of tower 0: off by {worst:.1e} at most")
        # tf.split builds the training towers only; inference takes any number of images.
        predicted = session.run(prediction, {images: split.held_out.images})
        accuracy = float(np.mean(predicted == split.held_out.labels))
        print(f"held-out accuracy {support.percent(accuracy)}")


if __name__ == "__main__":
    support.run(main)
