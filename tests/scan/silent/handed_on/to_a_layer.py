import tensorflow.compat.v1 as tf
import tf_slim as slim


def net(x, is_training):
    params = {"is_training": is_training}
    h = slim.conv2d(x, 8, 3, normalizer_fn=slim.batch_norm, normalizer_params=params)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        h = tf.identity(h)
    return slim.batch_norm(h, is_training=is_training, updates_collections="others")
