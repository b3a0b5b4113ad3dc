# SPDX-License-Identifier: Apache-2.0
"""A GAN whose discriminator, with batch normalization, is called on real and on generated points.

Two losses over one shared layer are where TF1 programs went wrong: `UPDATE_OPS` of the whole graph
makes the generator's step ask for real points, and two unordered updates of one moving mean race.
`tf1_bn.minimize` runs, for each loss, the updates that loss depends on, one after the other. The
classic spelling by name scope is printed beside it, and the shared moving mean is compared with a
replay of its updates in NumPy.
"""

from __future__ import annotations

import argparse
from typing import Any

import example_support as support
import numpy as np
import tensorflow.compat.v1 as tf

import tf1_bn

BATCH_SIZE = 64
MOMENTUM = 0.9
TARGET_MEAN = np.array([2.0, -1.0])
TARGET_STDDEV = np.array([0.5, 1.5])


def dense(inputs: Any, units: int, name: str) -> Any:
    with tf.variable_scope(name):
        kernel = tf.get_variable(
            "kernel", [int(inputs.shape[-1]), units], initializer=tf.glorot_uniform_initializer()
        )
        bias = tf.get_variable("bias", [units], initializer=tf.zeros_initializer())
        return tf.matmul(inputs, kernel) + bias


def generator(noise: Any) -> Any:
    with tf.variable_scope("generator"):
        hidden = tf.nn.relu(dense(noise, 32, "hidden"))
        return dense(hidden, 2, "points")


def discriminator(points: Any) -> tuple[Any, Any]:
    """Returns the logits, and the input of the normalization for the replay below."""
    with tf.variable_scope("discriminator", reuse=tf.AUTO_REUSE):
        before = tf.nn.relu(dense(points, 32, "hidden1"))
        hidden = tf1_bn.batch_normalization(before, momentum=MOMENTUM, training=True, name="norm")
        return dense(tf.nn.relu(dense(hidden, 32, "hidden2")), 1, "logits"), before


def cross_entropy(logits: Any, is_real: bool) -> Any:
    labels = tf.ones_like(logits) if is_real else tf.zeros_like(logits)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=support.whole_number(1, 10**6), default=1500, help="default %(default)s"
    )
    parser.add_argument(
        "--seed", type=support.whole_number(0), default=0, help="default %(default)s"
    )
    options = parser.parse_args()
    support.quiet(tf)
    tf.disable_v2_behavior()
    tf.set_random_seed(options.seed)
    random = np.random.RandomState(options.seed)

    real = tf.placeholder(tf.float32, [None, 2], name="real")
    noise = tf.placeholder(tf.float32, [None, 4], name="noise")
    fake = generator(noise)
    with tf.name_scope("on_real"):
        real_logits, real_before = discriminator(real)
    with tf.name_scope("on_fake"):
        fake_logits, fake_before = discriminator(fake)
    d_loss = cross_entropy(real_logits, True) + cross_entropy(fake_logits, False)
    g_loss = cross_entropy(fake_logits, True)

    d_step = tf1_bn.minimize(
        tf.train.AdamOptimizer(1e-3, beta1=0.5),
        d_loss,
        var_list=tf.trainable_variables("discriminator"),
    )
    g_step = tf1_bn.minimize(
        tf.train.AdamOptimizer(1e-3, beta1=0.5),
        g_loss,
        var_list=tf.trainable_variables("generator"),
    )

    everything = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    on_real = tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope="on_real/")
    on_fake = tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope="on_fake/")
    d_updates, g_updates = tf1_bn.update_ops_for(d_loss), tf1_bn.update_ops_for(g_loss)
    print(f"update ops in the graph: {len(everything)}")
    print(
        f"needed by the discriminator's loss: {len(d_updates)}, "
        f"same as by scope: {set(d_updates) == set(on_real + on_fake)}"
    )
    print(
        f"needed by the generator's loss: {len(g_updates)}, "
        f"same as by scope: {set(g_updates) == set(on_fake)}"
    )

    moving_mean = next(
        v for v in tf.global_variables() if v.op.name == "discriminator/norm/moving_mean"
    )

    def points(count: int) -> np.ndarray:
        return random.normal(TARGET_MEAN, TARGET_STDDEV, size=(count, 2))

    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        try:
            session.run(everything, {noise: np.zeros([BATCH_SIZE, 4])})
        except tf.errors.InvalidArgumentError:
            print("all update ops in the generator's step: TensorFlow demands real points")

        replayed = session.run(moving_mean).astype(np.float64)
        worst = 0.0
        for _ in range(options.steps):
            feed = {real: points(BATCH_SIZE), noise: random.normal(size=(BATCH_SIZE, 4))}
            # Read before the step, which changes the weights in front of the normalization.
            batches = session.run([real_before, fake_before], feed)
            session.run(d_step, feed)
            feed = {noise: random.normal(size=(BATCH_SIZE, 4))}
            batches.append(session.run(fake_before, feed))
            session.run(g_step, feed)
            for batch in batches:
                replayed = MOMENTUM * replayed + (1.0 - MOMENTUM) * batch.mean(axis=0)
            worst = max(worst, float(np.max(np.abs(session.run(moving_mean) - replayed))))
        print(
            f"moving mean against real, fake, fake in this order, {options.steps} steps: "
            f"off by {worst:.1e} at most"
        )

        generated = session.run(fake, {noise: random.normal(size=(4000, 4))})
        for axis in (0, 1):
            print(
                f"axis {axis}: real {TARGET_MEAN[axis]:+.2f} +- {TARGET_STDDEV[axis]:.2f}, "
                f"generated {generated[:, axis].mean():+.2f} +- {generated[:, axis].std():.2f}"
            )


if __name__ == "__main__":
    support.run(main)
