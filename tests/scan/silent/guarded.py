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
