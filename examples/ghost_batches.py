# SPDX-License-Identifier: Apache-2.0
"""Ghost batches: a large batch, normalized in small groups (arXiv 1705.08741).

First shows what `virtual_batch_size` computes: ghost batch j of G consists of the samples j, j + G,
j + 2G, ..., and the moving mean takes one step towards the average of the ghosts' means. Then
trains on the digits with and without ghosts and prints both accuracies.
"""

from __future__ import annotations

import argparse

import example_support as support
import numpy as np
import tensorflow.compat.v1 as tf
from digits_data import load_digits, shuffled_batches

import tf1_bn


def show_what_is_computed() -> None:
    """Compares a training step on 12 rows, ghosts of 4, with NumPy."""
    rows, ghost_size, momentum, epsilon = 12, 4, 0.9, 1e-3
    ghosts = rows // ghost_size
    values = np.random.RandomState(3).normal([1.0, -2.0, 5.0], [1.0, 0.3, 4.0], size=(rows, 3))
    with tf.Graph().as_default(), tf.Session() as session:
        output = tf1_bn.batch_normalization(
            tf.constant(values, tf.float32),
            momentum=momentum,
            epsilon=epsilon,
            training=True,
            virtual_batch_size=ghost_size,
            name="norm",
        )
        session.run(tf.global_variables_initializer())
        normalized, _ = session.run([output, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
        (moving_mean,) = [v for v in tf.global_variables() if v.op.name == "norm/moving_mean"]
        print(f"shape of the moving mean: {moving_mean.shape.as_list()}")
        moved = session.run(moving_mean).reshape([-1])

    expected = np.empty_like(values)
    for ghost in range(ghosts):
        members = values[ghost::ghosts]
        expected[ghost::ghosts] = (members - members.mean(axis=0)) / np.sqrt(
            members.var(axis=0) + epsilon
        )
    ghost_means = np.stack([values[ghost::ghosts].mean(axis=0) for ghost in range(ghosts)])
    moved_expected = (1.0 - momentum) * ghost_means.mean(axis=0)
    print(f"output against NumPy: off by {np.max(np.abs(normalized - expected)):.1e} at most")
    print(f"moving mean against NumPy: off by {np.max(np.abs(moved - moved_expected)):.1e} at most")


def train(virtual_batch_size: int | None, options: argparse.Namespace) -> float:
    """Trains a small net with large batches; returns the held-out accuracy in inference mode."""
    split = load_digits()
    random = np.random.RandomState(options.seed)
    with tf.Graph().as_default():
        tf.set_random_seed(options.seed)
        images = tf.placeholder(tf.float32, [None, 8, 8, 1])
        labels = tf.placeholder(tf.int64, [None])
        training = tf.placeholder_with_default(False, [])
        kernel = tf.get_variable(
            "conv_kernel", [3, 3, 1, 32], initializer=tf.variance_scaling_initializer(2.0)
        )
        hidden = tf.nn.conv2d(images, kernel, strides=[1, 2, 2, 1], padding="SAME")
        hidden = tf1_bn.batch_normalization(
            hidden, momentum=0.9, training=training, virtual_batch_size=virtual_batch_size
        )
        hidden = tf.reshape(tf.nn.relu(hidden), [-1, 4 * 4 * 32])
        kernel = tf.get_variable(
            "kernel", [4 * 4 * 32, 10], initializer=tf.variance_scaling_initializer(1.0)
        )
        logits = tf.matmul(hidden, kernel)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        train_op = tf1_bn.minimize(tf.train.AdamOptimizer(3e-3), loss)
        correct = tf.equal(tf.argmax(logits, axis=1), labels)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for _ in range(options.epochs):
                for batch in shuffled_batches(split.training, options.batch_size, random):
                    feed = {images: batch.images, labels: batch.labels, training: True}
                    session.run(train_op, feed)
            # Inference takes the moving statistics, so 359 images need no complete ghost batches.
            feed = {images: split.held_out.images, labels: split.held_out.labels}
            return float(np.mean(session.run(correct, feed)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--epochs", type=support.whole_number(1, 1000), default=40, help="default %(default)s"
    )
    parser.add_argument(
        "--batch-size", type=support.whole_number(2, 1438), default=256, help="default %(default)s"
    )
    parser.add_argument(
        "--virtual-batch-size",
        type=support.whole_number(1, 1438),
        default=16,
        help="default %(default)s",
    )
    parser.add_argument(
        "--seed", type=support.whole_number(0), default=0, help="default %(default)s"
    )
    options = parser.parse_args()
    if options.batch_size % options.virtual_batch_size:
        parser.error(
            f"--virtual-batch-size must divide --batch-size {options.batch_size}, "
            f"got {options.virtual_batch_size}"
        )
    support.quiet(tf)
    tf.disable_v2_behavior()
    show_what_is_computed()
    plain = train(None, options)
    print(f"batches of {options.batch_size}: held-out accuracy {support.percent(plain)}")
    ghosts = train(options.virtual_batch_size, options)
    print(
        f"batches of {options.batch_size} in ghosts of {options.virtual_batch_size}: "
        f"held-out accuracy {support.percent(ghosts)}"
    )


if __name__ == "__main__":
    support.run(main)
