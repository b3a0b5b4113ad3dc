"""A small Tacotron: HParams, prenet, CBHG with tf.layers, and cells of tf.contrib.rnn."""

import json

import numpy as np
import tensorflow as tf
from tensorflow.contrib.rnn import (
    GRUCell,
    LayerNormBasicLSTMCell,
    LSTMCell,
    MultiRNNCell,
    OutputProjectionWrapper,
    ResidualWrapper,
)
from tensorflow.contrib.training import HParams

hparams = HParams(
    symbols=12,
    embed_depth=6,
    prenet_depths=[8, 6],
    bank_size=3,
    mels=5,
    learning_rate=0.01,
    decay=True,
    cleaners="english_cleaners",
)


def prenet(inputs, scope="prenet"):
    net = inputs
    with tf.variable_scope(scope):
        for index, size in enumerate(hparams.prenet_depths):
            net = tf.layers.dense(net, size, activation=tf.nn.relu, name="dense_%d" % (index + 1))
    return net


def conv1d(inputs, width, channels, activation, is_training, scope):
    with tf.variable_scope(scope):
        net = tf.layers.conv1d(inputs, channels, width, activation=activation, padding="same")
        return tf.layers.batch_normalization(net, training=is_training)


def highwaynet(inputs, scope, depth):
    with tf.variable_scope(scope):
        h = tf.layers.dense(inputs, depth, activation=tf.nn.relu, name="H")
        t = tf.layers.dense(
            inputs,
            depth,
            activation=tf.nn.sigmoid,
            name="T",
            bias_initializer=tf.constant_initializer(-1.0),
        )
        return h * t + inputs * (1.0 - t)


def cbhg(inputs, lengths, is_training, scope, depth):
    with tf.variable_scope(scope):
        with tf.variable_scope("conv_bank"):
            bank = [
                conv1d(inputs, k, depth, tf.nn.relu, is_training, "conv1d_%d" % k)
                for k in range(1, hparams.bank_size + 1)
            ]
        net = tf.layers.max_pooling1d(tf.concat(bank, -1), 2, 1, "same")
        net = conv1d(net, 3, int(inputs.shape[-1]), None, is_training, "proj") + inputs
        net = highwaynet(tf.layers.dense(net, depth), "highway", depth)
        outputs, _ = tf.nn.bidirectional_dynamic_rnn(
            GRUCell(depth), GRUCell(depth), net, sequence_length=lengths, dtype=tf.float32
        )
        return tf.concat(outputs, 2)


def decoder(inputs):
    cell = MultiRNNCell(
        [
            OutputProjectionWrapper(GRUCell(8), 6),
            ResidualWrapper(GRUCell(6)),
            LayerNormBasicLSTMCell(6),
            LSTMCell(6),
        ],
        state_is_tuple=True,
    )
    outputs, _ = tf.nn.dynamic_rnn(
        OutputProjectionWrapper(cell, hparams.mels), inputs, dtype=tf.float32
    )
    return outputs


def main():
    hparams.parse("learning_rate=0.02,decay=false,prenet_depths=[7,6]")
    tf.set_random_seed(3)
    inputs = tf.placeholder(tf.int32, [None, None], name="inputs")
    lengths = tf.placeholder(tf.int32, [None], name="input_lengths")
    mels = tf.placeholder(tf.float32, [None, None, hparams.mels], name="mel_targets")
    init = tf.truncated_normal_initializer(stddev=0.3, seed=9)
    with tf.variable_scope("inference", initializer=init):
        table = tf.get_variable("embedding", [hparams.symbols, hparams.embed_depth])
        net = prenet(tf.nn.embedding_lookup(table, inputs))
        net = cbhg(net, lengths, True, "encoder_cbhg", 4)
        outputs = decoder(net)
    loss = tf.reduce_mean(tf.abs(outputs - mels))
    global_step = tf.Variable(0, name="global_step", trainable=False)
    optimizer = tf.train.AdamOptimizer(hparams.learning_rate)
    gradients, variables = zip(*optimizer.compute_gradients(loss))
    clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        optimize = optimizer.apply_gradients(zip(clipped, variables), global_step=global_step)

    rng = np.random.RandomState(0)
    losses = []
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for _ in range(3):
            feed = {
                inputs: rng.randint(0, hparams.symbols, [3, 6]),
                lengths: [6, 4, 5],
                mels: rng.uniform(-1, 1, [3, 6, hparams.mels]),
            }
            losses.append(float(sess.run([loss, optimize], feed)[0]))
    print(json.dumps({"variables": [v.name for v in tf.global_variables()], "losses": losses}))


if __name__ == "__main__":
    main()
