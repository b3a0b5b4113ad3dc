import tensorflow.compat.v1 as tf


def model_fn(head, features, labels, mode):
    h = tf.layers.batch_normalization(features["x"], training=mode == "train")

    def train_op_fn(loss):
        return tf.train.AdamOptimizer().minimize(loss)

    return head.create_estimator_spec(features, mode, h, labels=labels, train_op_fn=train_op_fn)
