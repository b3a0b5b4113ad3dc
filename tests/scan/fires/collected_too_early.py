import tensorflow.compat.v1 as tf

x = tf.placeholder(tf.float32, [None, 4])
update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)  # finds: BN112
y = tf.layers.batch_normalization(x, training=True)  # finds: BN100 BN103
with tf.control_dependencies(update_ops):
    train_op = tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(y))
