# SPDX-License-Identifier: Apache-2.0
"""Two towers share their variables, each with half of the batch: who updates the statistics?

The way multi-GPU programs of TF1 are written, here on the CPU. `--statistics first` does what most
of them do: each half is normalized on its own, and only the first tower's update ops are run, so
that the towers do not write the same moving statistics at the same time. `all` and `averaged` let
both count, and `merged` normalizes the two halves as the one batch they are. Prints what is shared,
which updates there are, how the moving mean compares with one computed in NumPy, and the held-out
accuracy after training.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

import example_support as support
import numpy as np
import tensorflow.compat.v1 as tf
from digits_data import load_digits, shuffled_batches

import tf1_bn

BATCH_SIZE = 64
MOMENTUM = 0.9
STATISTICS = ("first", "all", "averaged", "merged")


def net(pixels: Any, training: Any) -> Any:
    with tf.variable_scope("net"):
        hidden_kernel = tf.get_variable(
            "hidden_kernel", [64, 64], initializer=tf.glorot_uniform_initializer()
        )
        kernel = tf.get_variable("kernel", [64, 10], initializer=tf.glorot_uniform_initializer())
        hidden = tf1_bn.batch_normalization(
            pixels, momentum=MOMENTUM, training=training, name="norm0"
        )
        hidden = tf1_bn.batch_normalization(
            tf.matmul(hidden, hidden_kernel), momentum=MOMENTUM, training=training, name="norm1"
        )
        return tf.matmul(tf.nn.relu(hidden), kernel)


def tower_loss(pixels: Any, labels: Any) -> Any:
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=labels, logits=net(pixels, training=True)
        )
    )


def moved_mean(mean: Any, halves: Any, statistics: str) -> Any:
    """The moving mean of raw pixels after one step, as it should be."""
    means = [half.mean(axis=0).reshape([-1]).astype(np.float64) for half in halves]
    if statistics == "first":
        means = means[:1]
    elif statistics != "all":
        # The halves are of one size, so the mean of their means is that of the whole.
        means = [np.mean(means, axis=0)]
    for batch_mean in means:
        mean = MOMENTUM * mean + (1.0 - MOMENTUM) * batch_mean
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--epochs", type=support.whole_number(1, 1000), default=20, help="default %(default)s"
    )
    parser.add_argument(
        "--seed", type=support.whole_number(0), default=0, help="default %(default)s"
    )
    parser.add_argument(
        "--statistics", choices=STATISTICS, default="first", help="default %(default)s"
    )
    options = parser.parse_args()
    support.quiet(tf)
    tf.disable_v2_behavior()
    tf.set_random_seed(options.seed)
    random = np.random.RandomState(options.seed)
    split = load_digits()
    merged = options.statistics == "merged"

    images = tf.placeholder(tf.float32, [None, 8, 8, 1])
    labels = tf.placeholder(tf.int64, [None])
    pixels = tf.reshape(images, [-1, 64])
    halves = list(zip(tf.split(pixels, 2), tf.split(labels, 2)))
    with tf1_bn.cross_replica() if merged else contextlib.nullcontext():
        losses = tf1_bn.run_towers(tower_loss, halves)
    # Inference shares the variables as a third user of them; it brings no update ops.
    with tf.name_scope("inference"), tf.variable_scope(tf.get_variable_scope(), reuse=True):
        prediction = tf.argmax(net(pixels, training=False), axis=1)

    shared = {v.op.name: v for v in tf.global_variables() if v.op.name.startswith("net/norm")}
    moving_mean = shared["net/norm0/moving_mean"]
    print(f"variables of the two normalizations, shared by all: {len(shared)}")
    in_scope = [
        len(tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope=f"tower_{tower}/")) for tower in (0, 1)
    ]
    first, second = {
        "first": ("run", "not run"),
        "all": ("run", "run after them"),
        "averaged": ("averaged", "averaged"),
        "merged": ("run", "none needed"),
    }[options.statistics]
    print(f"update ops: {in_scope[0]} of tower 0 ({first}), {in_scope[1]} of tower 1 ({second})")

    # The gradient of the mean of the losses is the mean of the towers' gradients.
    train_op = tf1_bn.minimize(
        tf.train.AdamOptimizer(3e-3),
        tf.add_n(losses) / 2.0,
        towers="all" if merged else options.statistics,
    )

    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        expected = session.run(moving_mean).astype(np.float64)
        worst = 0.0
        for epoch in range(options.epochs):
            for batch in shuffled_batches(split.training, BATCH_SIZE, random):
                session.run(train_op, {images: batch.images, labels: batch.labels})
                if epoch == 0:
                    # The first normalization sees raw pixels, so NumPy can follow its mean.
                    expected = moved_mean(expected, np.split(batch.images, 2), options.statistics)
                    worst = max(worst, float(np.max(np.abs(session.run(moving_mean) - expected))))
        of = "tower 0" if options.statistics == "first" else "both towers"
        print(f"moving mean against NumPy, first epoch of {of}: off by {worst:.1e} at most")
        # tf.split builds the training towers only; inference takes any number of images.
        predicted = session.run(prediction, {images: split.held_out.images})
        accuracy = float(np.mean(predicted == split.held_out.labels))
        print(f"held-out accuracy {support.percent(accuracy)}")


if __name__ == "__main__":
    support.run(main)
