"""Build and drop graphs with every kind of layer; print how many were built and how many live on.

The third number is the same count with one graph kept on purpose.
"""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import tensorflow.compat.v1 as tf

import tf1_bn


def build(number: int) -> Any:
    """Return a graph with one layer; which kind, and what is done with it, varies with `number`."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.placeholder(tf.float32, [4, 3, 3, 5])
        phase = tf.placeholder_with_default(False, []) if number % 2 else True
        if number % 3:
            y = tf1_bn.batch_normalization(x, training=phase)
        else:
            y = tf1_bn.BatchNormalization(renorm=number % 9 == 0)(x, training=phase)
        if number % 10 == 0:
            # Gradients make most of the time that a graph takes to build.
            tf1_bn.minimize(tf.train.GradientDescentOptimizer(0.1), tf.reduce_sum(y))
    return graph


def alive(references: list[Any]) -> int:
    gc.collect()
    return sum(reference() is not None for reference in references)


def main(count: int) -> None:
    references = [weakref.ref(build(number)) for number in range(count)]
    left = alive(references)
    kept = build(0)
    control = alive([*references, weakref.ref(kept)])
    print(len(references), left, control)


if __name__ == "__main__":
    main(int(sys.argv[1]))
