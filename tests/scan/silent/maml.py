"""Meta-learning: the inner steps normalize by the batch, as the original does."""

import tensorflow as tf
from tensorflow.contrib.layers.python import layers as tf_layers


def normalize(inp, activation, reuse, scope):
    return tf_layers.batch_norm(
        inp, activation_fn=activation, reuse=reuse, scope=scope, updates_collections=None
    )


def forward(inp, weights, reuse=False):
    hidden = normalize(tf.matmul(inp, weights["w1"]), tf.nn.relu, reuse, "0")
    return tf.matmul(hidden, weights["w2"])


def meta_train_op(inputs, weights, update_lr, meta_lr):
    loss = tf.reduce_mean(forward(inputs, weights))
    gradients = dict(zip(weights, tf.gradients(loss, list(weights.values()))))
    fast = {key: weights[key] - update_lr * gradients[key] for key in weights}
    outer = tf.reduce_mean(forward(inputs, fast, reuse=True))
    optimizer = tf.train.AdamOptimizer(meta_lr)
    return optimizer.apply_gradients(optimizer.compute_gradients(outer))
