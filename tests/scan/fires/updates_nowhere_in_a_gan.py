import tensorflow.compat.v1 as tf


def generator(z, train=True):
    with tf.variable_scope("g"):
        return tf.layers.batch_normalization(z, training=train)  # finds: BN100


def train_op(z, score):
    loss = tf.reduce_mean(score(generator(z)))
    adam = tf.train.AdamOptimizer(2e-4, beta1=0.5)
    return adam.minimize(loss, var_list=tf.trainable_variables("g"))  # finds: BN110


def sampler(z):
    return generator(z, train=False)
