import numpy as np
import tensorflow.compat.v1 as tf

x = tf.placeholder(tf.float32, [None, 4])
phase = tf.placeholder(tf.bool)
y = tf.layers.batch_normalization(x, training=phase)  # finds: BN100
loss = tf.reduce_mean(tf.square(y))
train_op = tf.train.AdamOptimizer(1e-3).minimize(loss)  # finds: BN110
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train_op, {x: np.ones([2, 4]), phase: True})
