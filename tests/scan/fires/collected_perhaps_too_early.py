import tensorflow.compat.v1 as tf
from mine import backbone


def train(x, is_training):
    x = backbone(x)
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)  # finds: BN113
    x = tf.layers.batch_normalization(x, training=is_training)  # finds: BN100
    with tf.control_dependencies(update_ops):
        return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(x))
