import tensorflow.compat.v1 as tf
from helpers import log


def train(x, w):
    log("training")
    return tf.train.AdamOptimizer().minimize(tf.reduce_mean(x * w))
