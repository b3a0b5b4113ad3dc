"""A DeepLab: Xception's separable convolutions in slim's arg_scope, ASPP, a streaming mean IOU."""

import collections
import json
import os
import tempfile

import numpy as np
import tensorflow as tf

slim = tf.contrib.slim

CLASSES = 4
Block = collections.namedtuple("Block", "depths stride rate")


def arg_scope(is_training, weight_decay=4e-5, decay=0.9):
    params = {"is_training": is_training, "decay": decay, "epsilon": 1e-3, "scale": True}
    init = tf.truncated_normal_initializer(stddev=0.3, seed=6)
    with slim.arg_scope(
        [slim.conv2d, slim.separable_conv2d],
        weights_initializer=init,
        activation_fn=tf.nn.relu,
        normalizer_fn=slim.batch_norm,
    ):
        with slim.arg_scope([slim.batch_norm], **params):
            with slim.arg_scope(
                [slim.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)
            ) as scope:
                return scope


@slim.add_arg_scope
def split_separable_conv2d(inputs, filters, rate=1, stride=1, scope=None, reuse=None):
    net = slim.separable_conv2d(
        inputs, None, 3, depth_multiplier=1, stride=stride, rate=rate, scope=scope + "_depthwise"
    )
    return slim.conv2d(net, filters, 1, scope=scope + "_pointwise", reuse=reuse)


@slim.add_arg_scope
def xception_module(inputs, block, scope, outputs_collections=None):
    with tf.variable_scope(scope, "xception_module", [inputs]) as sc:
        net = inputs
        for index, depth in enumerate(block.depths):
            last = index == len(block.depths) - 1
            stride = block.stride if last else 1
            name = "separable_conv%d" % (index + 1)
            net = split_separable_conv2d(net, depth, block.rate, stride, scope=name)
        shortcut = slim.conv2d(
            inputs, depth, 1, stride=block.stride, activation_fn=None, scope="shortcut"
        )
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, net + shortcut)


def aspp(net, size):
    pooled = tf.reduce_mean(net, [1, 2], keep_dims=True)
    branches = [tf.image.resize_bilinear(slim.conv2d(pooled, 4, 1, scope="image_pooling"), size)]
    branches.append(slim.conv2d(net, 4, 1, scope="aspp0"))
    for index, rate in enumerate((2, 3), 1):
        branches.append(split_separable_conv2d(net, 4, rate, scope="aspp%d" % index))
    net = slim.conv2d(tf.concat(branches, 3), 4, 1, scope="concat_projection")
    return slim.dropout(net, keep_prob=1.0, scope="concat_projection_dropout")


def model(images, is_training):
    with slim.arg_scope(arg_scope(is_training)):
        with slim.arg_scope([xception_module], outputs_collections="features"):
            net = slim.conv2d(images, 4, 3, stride=2, scope="entry_flow/conv1_1")
            net = xception_module(net, Block([4, 6], 2, 1), scope="entry_flow/block1")
            net = xception_module(net, Block([6, 6], 1, 2), scope="exit_flow/block1")
        assert "exit_flow/block1" in slim.utils.convert_collection_to_dict("features")
        net = aspp(net, tf.shape(net)[1:3])
        logits = slim.conv2d(
            net,
            CLASSES,
            1,
            activation_fn=None,
            normalizer_fn=None,
            weights_initializer=tf.truncated_normal_initializer(stddev=0.1, seed=8),
            scope="logits/semantic",
        )
    return tf.image.resize_bilinear(logits, [17, 17], align_corners=True)


def main():
    tf.set_random_seed(5)
    images = tf.placeholder(tf.float32, [2, 17, 17, 3])
    labels = tf.placeholder(tf.int32, [2, 17, 17])
    logits = model(images, True)
    tf.losses.sparse_softmax_cross_entropy(
        tf.reshape(labels, [-1]),
        tf.reshape(logits, [-1, CLASSES]),
        weights=tf.to_float(tf.not_equal(tf.reshape(labels, [-1]), 255)),
    )
    total_loss = tf.losses.get_total_loss()
    step = tf.contrib.framework.get_or_create_global_step()
    optimizer = tf.train.MomentumOptimizer(
        tf.train.polynomial_decay(0.05, step, 10, power=0.9), 0.9
    )
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    gradients = optimizer.compute_gradients(total_loss)
    gradients = slim.learning.multiply_gradients(gradients, {"logits/semantic/biases": 2.0})
    update_ops.append(optimizer.apply_gradients(gradients, global_step=step))
    with tf.control_dependencies([tf.group(*update_ops)]):
        train_tensor = tf.identity(total_loss, name="train_op")
    miou, update_miou = tf.contrib.metrics.streaming_mean_iou(
        tf.argmax(logits, 3), labels, num_classes=CLASSES
    )
    restored = slim.get_variables_to_restore(exclude=["logits", "global_step"])
    assert all(not v.op.name.startswith("logits") for v in restored)

    rng = np.random.RandomState(0)
    losses = []
    saver = tf.train.Saver()
    with tf.Session() as sess:
        sess.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for _ in range(3):
            feed = {
                images: rng.uniform(-1, 1, [2, 17, 17, 3]),
                labels: rng.randint(0, CLASSES, [2, 17, 17]),
            }
            losses.append(float(sess.run(total_loss, feed)))
            sess.run([train_tensor, update_miou], feed)
        losses.append(float(sess.run(miou)))
        folder = tempfile.mkdtemp()
        path = saver.save(sess, os.path.join(folder, "model.ckpt"))
        kept = sess.run(restored)
        sess.run(tf.global_variables_initializer())
        slim.assign_from_checkpoint_fn(path, restored, ignore_missing_vars=True)(sess)
        assert all(np.array_equal(a, b) for a, b in zip(kept, sess.run(restored)))
    print(json.dumps({"variables": [v.name for v in tf.global_variables()], "losses": losses}))


if __name__ == "__main__":
    main()
