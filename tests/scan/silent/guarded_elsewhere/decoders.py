"""Asks what another file of the tree has found out, or a package that is not here."""

import compat
import tensorflow as tf
from compat import OLD
from somewhere.utils import IS_TF_1, is_tf1

if OLD:

    def decode(x):
        return tf.contrib.crf.crf_decode(x)


if compat.MAJOR < 2:
    import tensorflow.contrib.opt as opt

    AdamW = opt.AdamWOptimizer

likelihood = tf.contrib.crf.crf_log_likelihood if IS_TF_1 else None
viterbi = is_tf1() and tf.contrib.crf.viterbi_decode
