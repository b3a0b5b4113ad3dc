"""A one-stage detector on slim: a ResNet of slim's nets, heads in arg_scope, slim's training op."""

import json

import numpy as np
import tensorflow as tf
from tensorflow.contrib import slim
from tensorflow.contrib.slim.nets import resnet_v1
from tensorflow.contrib.slim.python.slim.nets import resnet_utils
from tensorflow.python.ops import control_flow_ops

CLASSES, ANCHORS = 3, 2


def backbone(images, is_training):
    blocks = [
        resnet_v1.resnet_v1_block("block1", base_depth=2, num_units=2, stride=2),
        resnet_v1.resnet_v1_block("block2", base_depth=4, num_units=1, stride=1),
    ]
    with slim.arg_scope(resnet_v1.resnet_arg_scope(weight_decay=1e-3, batch_norm_decay=0.9)):
        with slim.arg_scope(
            [slim.conv2d], weights_initializer=tf.truncated_normal_initializer(stddev=0.2, seed=5)
        ):
            return resnet_v1.resnet_v1(
                images,
                blocks,
                is_training=is_training,
                global_pool=False,
                include_root_block=True,
                scope="resnet_v1_tiny",
            )


def heads(net, is_training):
    with slim.arg_scope(
        [slim.conv2d],
        weights_regularizer=slim.l2_regularizer(1e-3),
        weights_initializer=slim.initializers.xavier_initializer(seed=7),
        normalizer_fn=slim.batch_norm,
        normalizer_params={"is_training": is_training, "decay": 0.9, "fused": True},
        outputs_collections="end_points",
    ):
        net = slim.repeat(net, 2, slim.conv2d, 6, [3, 3], scope="rpn")
        with slim.arg_scope([slim.conv2d], normalizer_fn=None, activation_fn=None):
            scores = slim.conv2d(net, ANCHORS * CLASSES, [1, 1], scope="cls")
            boxes = slim.conv2d(net, ANCHORS * 4, [1, 1], scope="bbox")
    end_points = slim.utils.convert_collection_to_dict("end_points")
    assert any(name.endswith("rpn/rpn_2") for name in end_points), list(end_points)
    return tf.reshape(scores, [-1, CLASSES]), tf.reshape(boxes, [-1, 4])


def smooth_l1(deltas):
    size = tf.abs(deltas)
    return tf.reduce_mean(tf.where(size < 1, 0.5 * size * size, size - 0.5))


def main():
    tf.set_random_seed(2)
    images = tf.placeholder(tf.float32, [2, 32, 32, 3])
    targets = tf.placeholder(tf.int64, [None])
    is_training = tf.placeholder(tf.bool, [], name="is_training")
    net, end_points = backbone(images, True)
    net = control_flow_ops.cond(is_training, lambda: net, lambda: tf.stop_gradient(net))
    with slim.arg_scope([slim.conv2d], weights_initializer=slim.xavier_initializer(seed=6)):
        net = resnet_utils.conv2d_same(net, 4, 3, stride=2, scope="lateral")
    scores, boxes = heads(net, is_training)
    slim.losses.sparse_softmax_cross_entropy(scores, targets)
    slim.losses.add_loss(smooth_l1(boxes - 0.5))
    total_loss = slim.losses.get_total_loss()

    global_step = slim.get_or_create_global_step()
    rate = tf.train.exponential_decay(0.05, global_step, 2, 0.5, staircase=True)
    optimizer = tf.train.MomentumOptimizer(rate, 0.9)
    train_op = slim.learning.create_train_op(total_loss, optimizer, clip_gradient_norm=5.0)
    slim.model_analyzer.analyze_vars(slim.get_model_variables(), print_info=False)

    rng = np.random.RandomState(0)
    losses = []
    with tf.Session() as sess:
        sess.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for _ in range(3):
            feed = {images: rng.uniform(-1, 1, [2, 32, 32, 3]), is_training: True}
            count = sess.run(tf.shape(scores)[0], feed)
            feed[targets] = rng.randint(0, CLASSES, count)
            losses.append(float(sess.run(total_loss, feed)))
            sess.run(train_op, feed)
        feed[is_training] = False
        losses.append(float(sess.run(total_loss, feed)))
    print(json.dumps({"variables": [v.name for v in tf.global_variables()], "losses": losses}))


if __name__ == "__main__":
    main()
