"""A program of 2018: convolutions on 6x6 images; it restores what it saved the last time."""

import argparse
import os

import numpy as np
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=180)
parser.add_argument("--model", default="model")
FLAGS = parser.parse_args()


def images(count, seed):
    """Bars, standing or lying, at a random place, in noise."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 2, count)
    pixels = random.normal(0.5, 0.7, [count, 6, 6, 1])
    for image, label, place in zip(pixels, labels, random.randint(0, 6, count)):
        image[(slice(None), place) if label else (place, slice(None))] += 1.0
    return pixels.astype(np.float32), labels


def model(x, is_training):
    net = tf.layers.conv2d(x, 8, 3, padding="same", use_bias=False)
    net = tf.layers.batch_normalization(net, momentum=0.9, training=is_training)
    net = tf.nn.relu(net)
    net = tf.layers.max_pooling2d(net, 2, 2)
    net = tf.layers.conv2d(net, 12, 3, padding="same", use_bias=False)
    net = tf.layers.batch_normalization(net, momentum=0.9, training=is_training)
    net = tf.layers.average_pooling2d(tf.nn.relu(net), 2, 2)
    net = tf.layers.dropout(tf.layers.flatten(net), rate=0.3, training=is_training)
    return tf.layers.dense(net, 2)


tf.set_random_seed(1)
x = tf.placeholder(tf.float32, [None, 6, 6, 1], name="x")
y = tf.placeholder(tf.int64, [None], name="y")
is_training = tf.placeholder(tf.bool, name="is_training")
logits = model(x, is_training)
loss = tf.losses.sparse_softmax_cross_entropy(labels=y, logits=logits)
accuracy = tf.reduce_mean(tf.to_float(tf.equal(tf.argmax(logits, 1), y)))
update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
with tf.control_dependencies(update_ops):
    train_op = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
saver = tf.train.Saver()

pixels, labels = images(512, seed=1)
test_pixels, test_labels = images(32, seed=2)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    if os.path.exists(FLAGS.model + ".index"):
        saver.restore(sess, FLAGS.model)
        print("restored")
    for step in range(FLAGS.steps):
        chosen = slice(step * 8 % 512, step * 8 % 512 + 8)
        feed = {x: pixels[chosen], y: labels[chosen], is_training: True}
        _, value = sess.run([train_op, loss], feed)
    results = []
    for start in range(0, 32, 8):
        chosen = slice(start, start + 8)
        feed = {x: test_pixels[chosen], y: test_labels[chosen], is_training: False}
        results.append(sess.run([accuracy, loss], feed))
    print("accuracy %.6f loss %.6f" % tuple(np.mean(results, axis=0)))
    if FLAGS.steps:
        saver.save(sess, FLAGS.model, write_meta_graph=False)
