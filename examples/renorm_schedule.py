# SPDX-License-Identifier: Apache-2.0
"""Batch renormalization with the paper's schedule, where plain batch normalization suffers.

Batches are small and not mixed: four digits of two classes only. Normalizing such a batch with its
own statistics removes much of what tells its classes from the other eight. Renorm (arXiv
1702.03275) trains with outputs that approach those of inference. Its limits follow the paper's
schedule, scaled down: rmax 1 and dmax 0 at first, then linearly to rmax 3 and dmax 5.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import example_support as support
import numpy as np
import tensorflow.compat.v1 as tf
from digits_data import Digits, load_digits

import tf1_bn


class Result(NamedTuple):
    """Held-out accuracies, and the largest rmax and dmax the schedule reached."""

    training_mode: float
    inference_mode: float
    limits: tuple[float, float]


def unmixed_batch(
    digits: Digits, options: argparse.Namespace, random: np.random.RandomState
) -> Digits:
    """Draws a batch from a few classes chosen at random."""
    classes = random.choice(10, options.classes_per_batch, replace=False)
    candidates = np.flatnonzero(np.isin(digits.labels, classes))
    chosen = random.choice(candidates, options.batch_size, replace=False)
    return Digits(digits.images[chosen], digits.labels[chosen])


def dense(inputs: Any, units: int, name: str) -> Any:
    with tf.variable_scope(name):
        kernel = tf.get_variable(
            "kernel",
            [int(inputs.shape[-1]), units],
            initializer=tf.variance_scaling_initializer(2.0),
        )
        return tf.matmul(inputs, kernel)


def run(renorm: bool, options: argparse.Namespace) -> Result:
    random = np.random.RandomState(options.seed)
    split = load_digits()
    with tf.Graph().as_default():
        tf.set_random_seed(options.seed)
        images = tf.placeholder(tf.float32, [None, 8, 8, 1])
        labels = tf.placeholder(tf.int64, [None])
        training = tf.placeholder(tf.bool, [])
        global_step = tf.train.get_or_create_global_step()
        # The paper's ramp ends at step 40000; here it ends at 80 % of the training.
        limits = tf1_bn.renorm_schedule(global_step, scale=0.8 * options.steps / 40000.0)

        hidden: Any = tf.reshape(images, [-1, 64]) / 16.0
        for name in ("hidden1", "hidden2"):
            hidden = tf1_bn.batch_normalization(
                dense(hidden, 64, name),
                training=training,
                renorm=renorm,
                renorm_clipping=limits if renorm else None,
                name=name + "_norm",
            )
            hidden = tf.nn.relu(hidden)
        logits = dense(hidden, 10, "logits")
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        train_op = tf1_bn.minimize(tf.train.AdamOptimizer(1e-3), loss, global_step=global_step)
        correct = tf.equal(tf.argmax(logits, axis=1), labels)

        def correct_share(batch: Digits, phase: bool) -> float:
            feed = {images: batch.images, labels: batch.labels, training: phase}
            return float(np.mean(session.run(correct, feed)))

        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for _ in range(options.steps):
                batch = unmixed_batch(split.training, options, random)
                feed = {images: batch.images, labels: batch.labels, training: True}
                session.run(train_op, feed)
            reached = session.run([limits["rmax"], limits["dmax"]])
            # Training mode is judged on the kind of batch that training saw.
            shares = [
                correct_share(unmixed_batch(split.held_out, options, random), True)
                for _ in range(200)
            ]
            return Result(
                float(np.mean(shares)),
                correct_share(split.held_out, False),
                (float(reached[0]), float(reached[1])),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=support.whole_number(1, 10**6), default=2000, help="default %(default)s"
    )
    parser.add_argument(
        "--batch-size", type=support.whole_number(2, 32), default=4, help="default %(default)s"
    )
    parser.add_argument(
        "--classes-per-batch",
        type=support.whole_number(1, 10),
        default=2,
        help="default %(default)s",
    )
    parser.add_argument(
        "--seed", type=support.whole_number(0), default=0, help="default %(default)s"
    )
    options = parser.parse_args()
    support.quiet(tf)
    tf.disable_v2_behavior()
    plain, renorm = run(False, options), run(True, options)
    rows = [["held-out accuracy", "training mode", "inference mode"]]
    for name, result in (("plain batch norm", plain), ("with renorm", renorm)):
        rows.append(
            [name, support.percent(result.training_mode), support.percent(result.inference_mode)]
        )
    print(support.table(rows))
    print(f"limits at the end: rmax {renorm.limits[0]:.2f}, dmax {renorm.limits[1]:.2f}")


if __name__ == "__main__":
    support.run(main)
