import tensorflow.compat.v1 as tf


def train_op(x, is_training):
    norm = tf.layers.BatchNormalization()
    step = tf.train.AdamOptimizer().minimize(tf.reduce_mean(norm(x, training=is_training)))
    return tf.group(step, norm.get_updates_for(x))
