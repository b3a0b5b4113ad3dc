"""A TF1 program as people wrote them: conv2d, batch_normalization, dense and an LSTM over rows."""

import sys

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
tf.set_random_seed(3)

images = tf.placeholder(tf.float32, [None, 6, 5, 1], name="images")
labels = tf.placeholder(tf.float32, [None], name="labels")
is_training = tf.placeholder(tf.bool, name="is_training")

net = tf.layers.conv2d(images, 4, 3, padding="same", name="conv")
net = tf.nn.relu(tf.layers.batch_normalization(net, momentum=0.9, training=is_training, name="bn"))
cell = tf.nn.rnn_cell.LSTMCell(7)
_, state = tf.nn.dynamic_rnn(cell, tf.reshape(net, [-1, 6, 20]), dtype=tf.float32)
logits = tf.layers.dense(state.h, 1, name="logits")[:, 0]
loss = tf.reduce_mean(tf.square(logits - labels))
with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    train = tf.train.AdamOptimizer(0.01).minimize(loss)

random = np.random.RandomState(3)
pictures = random.normal(2.0, 3.0, [64, 6, 5, 1]).astype(np.float32)
means = pictures.mean(axis=(1, 2, 3))

with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    losses = []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 60):
        feed = {images: pictures, labels: means, is_training: True}
        losses.append(session.run([loss, train], feed)[0])
    moving_mean = session.run("bn/moving_mean:0")
    kernel = [v.name for v in tf.trainable_variables() if v.name.startswith("conv/")]
print(f"first {losses[0]:.4f} last {losses[-1]:.4f}")
print(f"moved {np.abs(moving_mean).min():.4f}")
print("conv variables", kernel)
