import tensorflow.compat.v1 as tf


def train_op(x, is_training):
    y = tf.layers.batch_normalization(x, training=is_training)
    step = tf.train.AdamOptimizer().minimize(tf.reduce_mean(y))
    ops = tf.get_default_graph().get_operations()
    return [step] + [op for op in ops if op.name.endswith("AssignMovingAvg")]
