"""Questions that are none for TensorFlow's version do not excuse a name that is gone."""

import sys

import tensorflow as tf
from settings import FLAGS, USE_CRF, tf1_bn_is_there

if USE_CRF:
    decode = tf.contrib.crf.crf_decode  # finds: BN202


def build(x, is_training):
    assert hasattr(x, "shape")
    if FLAGS.version:
        sys.exit(0)
    if is_training and tf1_bn_is_there:
        return tf.contrib.opt.AdamWOptimizer(1e-3)  # finds: BN202
    return x
