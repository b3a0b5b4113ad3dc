"""A ResNet of the years around 2017."""

import numpy as np
import tensorflow.compat.v1 as tf


def batch_norm(inputs, training, data_format):
    return tf.layers.batch_normalization(
        inputs=inputs,
        axis=1 if data_format == "channels_first" else 3,
        momentum=0.997,
        epsilon=1e-5,
        center=True,
        scale=True,
        training=training,
        fused=True,
    )


def block(inputs, filters, training, data_format):
    shortcut = inputs
    inputs = batch_norm(inputs, training, data_format)
    inputs = tf.nn.relu(inputs)
    return inputs + shortcut


def model_fn(features, labels, mode, params):
    training = mode == tf.estimator.ModeKeys.TRAIN
    logits = block(features, 16, training, params["data_format"])
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    if training:
        optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
        minimize_op = optimizer.minimize(loss, tf.train.get_or_create_global_step())
        update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        train_op = tf.group(minimize_op, update_ops)
    else:
        train_op = None
    return tf.estimator.EstimatorSpec(mode, np.zeros(3), loss, train_op)
