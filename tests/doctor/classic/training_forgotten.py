"""A small classifier. `training` is forgotten, and means False."""

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()


def dense(x, units, name):
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [int(x.shape[-1]), units])
        return tf.matmul(x, kernel)


images = tf.placeholder(tf.float32, [None, 12])
labels = tf.placeholder(tf.int64, [None])
hidden = tf.nn.relu(tf.layers.batch_normalization(dense(images, 8, "first"), name="bn"))
logits = dense(hidden, 2, "head")
loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
with tf.control_dependencies(update_ops):
    train_op = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
saver = tf.train.Saver()

random = np.random.RandomState(0)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(3):
        x = random.normal(3.0, 2.0, [16, 12])
        session.run(train_op, {images: x, labels: (x[:, 0] > 3.0).astype(np.int64)})
    saver.save(session, "model/step", global_step=3)
