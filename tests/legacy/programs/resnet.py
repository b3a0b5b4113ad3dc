"""A ResNet in the style of the official TF1 models: NHWC, and a wrapper around the layer."""

import argparse

import numpy as np
import tensorflow.compat.v1 as tf

MOMENTUM, EPSILON = 0.997, 1e-5


def batch_norm(inputs, training):
    return tf.layers.batch_normalization(
        inputs=inputs,
        axis=3,
        momentum=MOMENTUM,
        epsilon=EPSILON,
        center=True,
        scale=True,
        training=training,
        fused=True,
    )


def conv(inputs, filters, size, strides):
    return tf.layers.conv2d(
        inputs=inputs,
        filters=filters,
        kernel_size=size,
        strides=strides,
        padding="SAME",
        use_bias=False,
        kernel_initializer=tf.variance_scaling_initializer(seed=7),
    )


def block(inputs, filters, training, strides):
    shortcut = inputs
    inputs = tf.nn.relu(batch_norm(inputs, training))
    if strides != 1 or shortcut.shape[3] != filters:
        shortcut = conv(inputs, filters, 1, strides)
    inputs = tf.nn.relu(batch_norm(conv(inputs, filters, 3, strides), training))
    return conv(inputs, filters, 3, 1) + shortcut


def model(images, training):
    with tf.variable_scope("resnet_model"):
        net = conv(images, 5, 3, 1)
        for filters, strides in ((5, 1), (9, 2)):
            for index in range(2):
                net = block(net, filters, training, strides if index == 0 else 1)
        net = tf.nn.relu(batch_norm(net, training))
        initializer = tf.random_normal_initializer(stddev=0.1, seed=8)
        return tf.layers.dense(tf.reduce_mean(net, [1, 2]), 3, kernel_initializer=initializer)


def main(flags):
    tf.disable_eager_execution()
    tf.set_random_seed(11)
    random = np.random.RandomState(11)
    pictures = random.normal(size=[30, 8, 7, 1]).astype(np.float32)
    labels = np.arange(30) % 3
    pictures += labels[:, None, None, None]
    images = tf.placeholder(tf.float32, [None, 8, 7, 1])
    with tf.name_scope("train"):
        logits = model(images, training=True)
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        predictions = tf.argmax(rebuilt(images), axis=1)
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    loss += 1e-4 * tf.add_n(
        [tf.nn.l2_loss(v) for v in tf.trainable_variables() if "batch_normalization" not in v.name]
    )
    step = tf.train.get_or_create_global_step()
    optimizer = tf.train.MomentumOptimizer(0.05, 0.9)
    minimize = optimizer.minimize(loss, step)
    updates = [] if flags.forget_updates else tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    train = tf.group(minimize, updates)
    with tf.train.MonitoredTrainingSession() as session:
        for _ in range(flags.steps):
            last, _ = session.run([loss, train], {images: pictures})
        right = np.mean(session.run(predictions, {images: pictures}) == labels)
        moving = session.run([v for v in tf.global_variables() if "moving_variance" in v.name])
    print(f"loss {last:.3f} after {flags.steps} steps, inference right {right:.2f}")
    moved = sum((value != 1).all() for value in moving)
    print(f"{moved} of {len(moving)} moving variances moved")
    names = [v.name for v in tf.global_variables() if "gamma" in v.name]
    print(names[1])


def rebuilt(images):
    return model(images, training=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--forget-updates", action="store_true")
    main(parser.parse_args())
