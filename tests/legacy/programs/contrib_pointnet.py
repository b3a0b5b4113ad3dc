"""A PointNet: layers by hand as in its tf_util, contrib's batch norm, a decay schedule."""

import json

import numpy as np
import tensorflow as tf

BATCH, POINTS, CLASSES = 4, 16, 5


def _variable(name, shape, stddev, wd):
    initializer = tf.contrib.layers.xavier_initializer(seed=4)
    if stddev is not None:
        initializer = tf.truncated_normal_initializer(stddev=stddev, seed=4)
    var = tf.get_variable(name, shape, initializer=initializer, dtype=tf.float32)
    if wd is not None:
        tf.add_to_collection("losses", tf.multiply(tf.nn.l2_loss(var), wd, name="weight_loss"))
    return var


def batch_norm(inputs, is_training, scope, bn_decay, data_format="NHWC"):
    return tf.contrib.layers.batch_norm(
        inputs,
        center=True,
        scale=True,
        is_training=is_training,
        decay=bn_decay if bn_decay is not None else 0.9,
        updates_collections=None,
        scope=scope,
        data_format=data_format,
    )


def conv2d(inputs, channels, size, scope, is_training, bn_decay, activation=tf.nn.relu):
    with tf.variable_scope(scope):
        kernel = _variable("weights", size + [int(inputs.shape[-1]), channels], None, 1e-3)
        outputs = tf.nn.conv2d(inputs, kernel, [1, 1, 1, 1], padding="VALID")
        biases = tf.get_variable("biases", [channels], initializer=tf.constant_initializer(0.0))
        outputs = tf.nn.bias_add(outputs, biases)
        return activation(batch_norm(outputs, is_training, "bn", bn_decay))


def fully_connected(inputs, channels, scope, is_training, bn_decay=None, bn=True):
    with tf.variable_scope(scope):
        weights = _variable("weights", [int(inputs.shape[-1]), channels], 0.3, None)
        biases = tf.get_variable("biases", [channels], initializer=tf.constant_initializer(0.0))
        outputs = tf.nn.bias_add(tf.matmul(inputs, weights), biases)
        return tf.nn.relu(batch_norm(outputs, is_training, "bn", bn_decay)) if bn else outputs


def transform_net(points, is_training, bn_decay):
    net = conv2d(tf.expand_dims(points, -1), 4, [1, 3], "tconv1", is_training, bn_decay)
    net = conv2d(net, 6, [1, 1], "tconv2", is_training, bn_decay)
    net = tf.reshape(tf.nn.max_pool(net, [1, POINTS, 1, 1], [1, 2, 2, 1], "VALID"), [BATCH, -1])
    net = fully_connected(net, 5, "tfc1", is_training, bn_decay)
    with tf.variable_scope("transform_XYZ"):
        weights = tf.get_variable("weights", [5, 9], initializer=tf.constant_initializer(0.01))
        biases = tf.get_variable("biases", [9], initializer=tf.constant_initializer(0.0))
        biases += tf.constant(np.eye(3).flatten(), dtype=tf.float32)
        return tf.reshape(tf.matmul(net, weights) + biases, [BATCH, 3, 3])


def get_model(points, is_training, bn_decay):
    with tf.variable_scope("transform_net1"):
        transform = transform_net(points, is_training, bn_decay)
    net = tf.expand_dims(tf.matmul(points, transform), -1)
    net = conv2d(net, 6, [1, 3], "conv1", is_training, bn_decay)
    net = conv2d(net, 8, [1, 1], "conv2", is_training, bn_decay)
    net = tf.nn.max_pool(net, [1, POINTS, 1, 1], [1, 2, 2, 1], "VALID", name="maxpool")
    net = fully_connected(tf.reshape(net, [BATCH, -1]), 7, "fc1", is_training, bn_decay)
    return fully_connected(net, CLASSES, "fc2", is_training, bn=False)


def main():
    tf.set_random_seed(4)
    points = tf.placeholder(tf.float32, [BATCH, POINTS, 3])
    labels = tf.placeholder(tf.int32, [BATCH])
    is_training = tf.placeholder(tf.bool, shape=())
    batch = tf.Variable(0)
    momentum = tf.train.exponential_decay(0.5, batch * BATCH, 8, 0.5, staircase=True)
    bn_decay = tf.minimum(0.99, 1 - momentum)
    logits = get_model(points, is_training, bn_decay)
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels)
    )
    total = loss + tf.add_n(tf.get_collection("losses"))
    train_op = tf.train.MomentumOptimizer(0.05, momentum=0.9).minimize(total, global_step=batch)

    rng = np.random.RandomState(0)
    losses = []
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    with tf.Session(config=config) as sess:
        sess.run(tf.global_variables_initializer(), {is_training: True})
        for _ in range(4):
            feed = {
                points: rng.uniform(-1, 1, [BATCH, POINTS, 3]),
                labels: rng.randint(0, CLASSES, BATCH),
                is_training: True,
            }
            losses.append(float(sess.run([loss, train_op], feed)[0]))
        feed[is_training] = False
        losses.append(float(sess.run(total, feed)))
    print(json.dumps({"variables": [v.name for v in tf.global_variables()], "losses": losses}))


if __name__ == "__main__":
    main()
