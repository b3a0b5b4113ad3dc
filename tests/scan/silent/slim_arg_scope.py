"""slim with its arg_scope and its own train op, which runs the update ops."""

import tensorflow as tf
import tensorflow.contrib.slim as slim


def arg_scope(is_training, weight_decay=4e-5):
    parameters = {
        "is_training": is_training,
        "decay": 0.9997,
        "updates_collections": tf.GraphKeys.UPDATE_OPS,
    }
    with slim.arg_scope(
        [slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=parameters
    ), slim.arg_scope([slim.batch_norm], **parameters) as scope:
        return scope


def train(images, labels):
    with slim.arg_scope(arg_scope(is_training=True)):
        net = slim.conv2d(images, 8, [3, 3])
        net = slim.batch_norm(net)
    loss = tf.losses.softmax_cross_entropy(labels, slim.flatten(net))
    train_op = slim.learning.create_train_op(loss, tf.train.AdamOptimizer(1e-3))
    slim.learning.train(train_op, "logs")
