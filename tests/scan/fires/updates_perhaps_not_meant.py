import tensorflow.compat.v1 as tf


def attack(image, phase):
    delta = tf.get_variable("delta", image.shape)
    y = tf.layers.batch_normalization(image + delta, training=phase)  # finds: BN100
    return tf.train.AdamOptimizer(1e-1).minimize(y, var_list=[delta])  # finds: BN111
