"""A DCGAN as TF1 programs were: `import tensorflow as tf`, unnamed layers, scoped updates."""

import numpy as np
import tensorflow as tf

tf.set_random_seed(5)
BATCH, NOISE = 16, 9


def generator(noise, training, reuse=False):
    with tf.variable_scope("generator", reuse=reuse):
        net = tf.layers.dense(noise, 4 * 4 * 8)
        net = tf.reshape(net, [-1, 4, 4, 8])
        net = tf.nn.relu(tf.layers.batch_normalization(net, momentum=0.8, training=training))
        net = tf.layers.conv2d_transpose(net, 6, 5, strides=2, padding="same")
        net = tf.nn.relu(tf.layers.batch_normalization(net, momentum=0.8, training=training))
        return tf.tanh(tf.layers.conv2d_transpose(net, 1, 3, padding="same"))


def discriminator(image, training, reuse=False):
    with tf.variable_scope("discriminator", reuse=reuse):
        net = tf.nn.leaky_relu(tf.layers.conv2d(image, 6, 5, strides=2, padding="same"))
        net = tf.layers.conv2d(net, 8, 3, strides=2, padding="same")
        net = tf.nn.leaky_relu(tf.layers.batch_normalization(net, momentum=0.8, training=training))
        return tf.layers.dense(tf.layers.flatten(net), 1)


def cross_entropy(logits, target):
    labels = tf.fill(tf.shape(logits), target)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


real = tf.placeholder(tf.float32, [None, 8, 8, 1])
noise = tf.placeholder(tf.float32, [None, NOISE])
training = tf.placeholder(tf.bool, [])
fake = generator(noise, training)
real_logits = discriminator(real, training)
fake_logits = discriminator(fake, training, reuse=True)
discriminator_loss = cross_entropy(real_logits, 1.0) + cross_entropy(fake_logits, 0.0)
generator_loss = cross_entropy(fake_logits, 1.0)

train = {}
for scope, loss in (("discriminator", discriminator_loss), ("generator", generator_loss)):
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope=scope)
    with tf.control_dependencies(updates):
        variables = tf.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES, scope=scope)
        train[scope] = tf.train.AdamOptimizer(2e-3, beta1=0.5).minimize(loss, var_list=variables)
    print(f"{scope}: {len(updates)} update ops")

random = np.random.RandomState(5)
pictures = np.tanh(random.normal(0.4, 0.5, [BATCH, 8, 8, 1]))
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(20):
        feed = {real: pictures, noise: random.normal(size=[BATCH, NOISE]), training: True}
        losses = session.run([discriminator_loss, generator_loss, *train.values()], feed)[:2]
        assert np.isfinite(losses).all(), losses
    statistics = [v for v in tf.global_variables() if "moving_mean" in v.name]
    values = session.run(statistics)
    images = session.run(fake, {noise: random.normal(size=[3, NOISE]), training: False})
for variable, value in zip(statistics, values):
    print(f"{variable.name} moved {bool((value != 0).all())}")
print("images", images.shape, bool(np.isfinite(images).all()))
