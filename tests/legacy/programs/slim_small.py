"""A classifier of slim with batch normalization of two kinds, small enough to be recorded."""

import numpy as np
import tensorflow as tf
import tensorflow.contrib.slim as slim
from tensorflow.contrib.layers import batch_norm


def main():
    features = tf.placeholder(tf.float32, [None, 3])
    labels = tf.placeholder(tf.int32, [None])
    is_training = tf.placeholder(tf.bool, [])
    with slim.arg_scope([slim.batch_norm], is_training=is_training, decay=0.8):
        net = slim.fully_connected(features, 4, normalizer_fn=slim.batch_norm, scope="hidden")
        net = batch_norm(net, scale=True, updates_collections=None, fused=False, scope="last")
    logits = slim.fully_connected(net, 2, activation_fn=None, scope="logits")
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    train_op = slim.learning.create_train_op(loss, tf.train.GradientDescentOptimizer(0.1))
    rng = np.random.RandomState(0)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for step in range(6):
            feed = {features: rng.randn(5, 3), labels: rng.randint(0, 2, 5)}
            feed[is_training] = step < 3
            sess.run(train_op if step < 3 else logits, feed)


if __name__ == "__main__":
    main()
