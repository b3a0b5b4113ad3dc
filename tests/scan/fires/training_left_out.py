import tensorflow.compat.v1 as tf


def net(x):
    x = tf.layers.batch_normalization(x, momentum=0.9)  # finds: BN100 BN101
    return tf.nn.relu(tf.layers.batch_normalization(tf.nn.relu(x)))  # finds: BN100 BN101


x = tf.placeholder(tf.float32, [None, 4])
loss = tf.reduce_mean(tf.square(net(x)))
train_op = tf.train.AdamOptimizer(1e-3).minimize(loss)
