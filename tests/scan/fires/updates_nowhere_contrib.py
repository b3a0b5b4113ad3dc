import tensorflow as tf

layers = tf.contrib.layers  # finds: BN201


def net(x, is_training):
    return layers.batch_norm(x, decay=0.9, is_training=is_training)  # finds: BN100


def fit(x):
    loss = tf.reduce_mean(net(x, is_training=True))
    optimizer = tf.train.AdamOptimizer(1e-3)  # finds: BN203
    gradients = optimizer.compute_gradients(loss)
    return optimizer.apply_gradients(gradients)  # finds: BN110
