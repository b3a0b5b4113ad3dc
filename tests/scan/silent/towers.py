"""Towers on several devices: the first one's updates are taken."""

import tensorflow.compat.v1 as tf


def tower(x, is_training):
    return tf.layers.batch_normalization(x, training=is_training)


def train_op(batches, is_training, average):
    optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
    update_ops, gradients = [], []
    for index, batch in enumerate(batches):
        with tf.device(f"/gpu:{index}"), tf.name_scope(f"tower_{index}") as scope:
            loss = tf.reduce_mean(tower(batch, is_training))
            if index == 0:
                update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope)
            gradients.append(optimizer.compute_gradients(loss))
    with tf.control_dependencies(update_ops):
        return optimizer.apply_gradients(average(gradients))
