# SPDX-License-Identifier: Apache-2.0
"""A rank-2 net with one graph for both phases: `training` is a placeholder that defaults to False.

Reads the digits as vectors of 64 pixels. Prints the held-out accuracy in both phases, and how much
the logits of one image change when it is fed alone: nothing but rounding in inference mode, and a
lot in training mode, where the other images of the batch have a say.
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


def dense(inputs: Any, units: int, name: str) -> Any:
    with tf.variable_scope(name):
        kernel = tf.get_variable(
            "kernel", [int(inputs.shape[-1]), units], initializer=tf.glorot_uniform_initializer()
        )
        return tf.matmul(inputs, kernel)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--epochs", type=support.whole_number(1, 1000), default=30, help="default %(default)s"
    )
    parser.add_argument(
        "--seed", type=support.whole_number(0), default=0, help="default %(default)s"
    )
    options = parser.parse_args()
    support.quiet(tf)
    tf.disable_v2_behavior()
    tf.set_random_seed(options.seed)
    random = np.random.RandomState(options.seed)
    split = load_digits()

    images = tf.placeholder(tf.float32, [None, 8, 8, 1])
    labels = tf.placeholder(tf.int64, [None])
    # The default makes a forgotten feed mean inference.
    training = tf.placeholder_with_default(False, [], name="training")

    hidden = tf.reshape(images, [-1, 64]) / 16.0
    for name, units in (("hidden1", 128), ("hidden2", 64)):
        hidden = dense(hidden, units, name)
        hidden = tf1_bn.batch_normalization(hidden, training=training, name=name + "_norm")
        hidden = tf.nn.relu(hidden)
    logits = dense(hidden, 10, "logits")
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )
    train_op = tf1_bn.minimize(tf.train.AdamOptimizer(3e-3), loss)

    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(options.epochs):
            for batch in shuffled_batches(split.training, BATCH_SIZE, random):
                session.run(train_op, {images: batch.images, labels: batch.labels, training: True})

        for name, phase in (("training", True), ("inference", False)):
            together = session.run(logits, {images: split.held_out.images, training: phase})
            alone = session.run(logits, {images: split.held_out.images[:1], training: phase})
            accuracy = float(np.mean(np.argmax(together, axis=1) == split.held_out.labels))
            print(f"{name} mode: held-out accuracy {support.percent(accuracy)}")
            print(
                f"{name} mode: logits of one image, alone and in a batch of "
                f"{len(together)}, differ by {np.max(np.abs(alone - together[:1])):.1e}"
            )


if __name__ == "__main__":
    support.run(main)
