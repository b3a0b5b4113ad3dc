"""A model of tensorpack, whose trainer runs the update ops by a callback of its own."""

import tensorflow.compat.v1 as tf
from tensorpack import ModelDesc, RunUpdateOps, SimpleTrainer
from tensorpack.tfutils.tower import get_current_tower_context


class Model(ModelDesc):
    def build_graph(self, image, label):
        is_training = get_current_tower_context().is_training
        logits = tf.layers.batch_normalization(image, training=is_training)
        return tf.losses.sparse_softmax_cross_entropy(label, logits)

    def optimizer(self):
        return tf.train.AdamOptimizer(1e-3)


SimpleTrainer().train_with_defaults(callbacks=[RunUpdateOps()])
