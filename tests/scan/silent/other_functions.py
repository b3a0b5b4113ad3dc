"""Functions of these names that are not TensorFlow's, and names that something else hides."""

import tensorflow.compat.v1 as tf
from scipy.optimize import minimize


def batch_normalization(x):
    return x


def net(tf, x):
    return tf.layers.batch_normalization(batch_normalization(x))


def fit(layers, x):
    return minimize(lambda v: layers.batch_norm(v), x), tf.constant(0.0)
