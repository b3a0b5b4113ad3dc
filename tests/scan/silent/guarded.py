"""Names that are gone, asked for with a way out."""

import tensorflow as tf

try:
    from tensorflow.contrib import crf
except ImportError:
    crf = None

if tf.__version__.startswith("1."):
    from tensorflow.contrib.opt import AdamWOptimizer
else:
    AdamWOptimizer = None


HAS_CONTRIB = hasattr(tf, "contrib")
try:
    import tensorflow.contrib.crf as crf

    HAS_CRF = True
except ImportError:
    HAS_CRF = False


def likelihood(x):
    if HAS_CONTRIB:
        return tf.contrib.crf.crf_log_likelihood(x)
    if HAS_CRF:
        return tf.contrib.crf.crf_log_likelihood(crf.crf_decode(x))
    return x
