"""What is gone stands behind an end of what new TensorFlow runs."""

import sys
from distutils.version import LooseVersion

import tensorflow as tf

text = unicode if sys.version_info[0] < 3 else str  # noqa: F821


def decode(x):
    if LooseVersion(tf.__version__) >= LooseVersion("2.0"):
        return x
    return tf.contrib.crf.crf_decode(x)


def likelihood(x):
    if not hasattr(tf, "contrib"):
        raise RuntimeError("TensorFlow 1 only")
    return tf.contrib.crf.crf_log_likelihood(x)


def optimizer():
    assert tf.__version__.startswith("1.")
    return tf.contrib.opt.AdamWOptimizer(1e-4)
