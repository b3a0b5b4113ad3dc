import tensorflow.compat.v1 as tf
from helpers import log


def serve(x):
    log("serving")
    return tf.layers.batch_normalization(x)
