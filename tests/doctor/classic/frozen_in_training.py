"""A small classifier, frozen for serving as it was trained: with training=True."""

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()


def dense(x, units, name):
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [int(x.shape[-1]), units])
        return tf.matmul(x, kernel)


images = tf.placeholder(tf.float32, [None, 12], "images")
labels = tf.placeholder(tf.int64, [None])
hidden = dense(images, 8, "first")
hidden = tf.nn.relu(tf.layers.batch_normalization(hidden, training=True, name="bn"))
outputs = tf.nn.softmax(dense(hidden, 2, "head"), name="outputs")
loss = tf.losses.sparse_softmax_cross_entropy(labels, tf.log(outputs))
with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    train_op = tf.train.GradientDescentOptimizer(0.1).minimize(loss)

random = np.random.RandomState(0)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(3):
        x = random.normal(3.0, 2.0, [16, 12])
        session.run(train_op, {images: x, labels: (x[:, 0] > 3.0).astype(np.int64)})
    frozen = tf.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), ["outputs"]
    )
with tf.gfile.GFile("model.pb", "wb") as file:
    file.write(frozen.SerializeToString())
