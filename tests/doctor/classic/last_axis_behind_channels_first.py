"""A network for the GPU. Its convolution has the channels first, and its batch norm last."""

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()

images = tf.placeholder(tf.float32, [None, 3, 6, 5])
labels = tf.placeholder(tf.int64, [None])
is_training = tf.placeholder(tf.bool, [])
kernel = tf.get_variable("conv/kernel", [3, 3, 3, 4])
hidden = tf.nn.conv2d(images, kernel, [1, 1, 1, 1], "SAME", data_format="NCHW")
hidden = tf.nn.relu(tf.layers.batch_normalization(hidden, training=is_training, name="bn"))
logits = tf.matmul(tf.reduce_mean(hidden, [2, 3]), tf.get_variable("head/kernel", [4, 2]))
loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    train_op = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
saver = tf.train.Saver()

random = np.random.RandomState(0)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    # A CPU has no gradients of such convolutions.
    for _ in range(3 if tf.test.is_gpu_available() else 0):
        x = random.normal(3.0, 2.0, [16, 3, 6, 5])
        y = (x[:, 0, 0, 0] > 3.0).astype(np.int64)
        session.run(train_op, {images: x, labels: y, is_training: True})
    saver.save(session, "model/step", global_step=3)
