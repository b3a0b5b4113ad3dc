import tensorflow.compat.v1 as tf


class Net:
    def __init__(self, is_training):
        self.is_training = is_training

    def norm(self, x):
        return tf.layers.batch_normalization(x, training=self.is_training)  # finds: BN100

    def __call__(self, x):
        return self.norm(tf.nn.relu(x))


def train(x):
    with tf.control_dependencies(tf.get_collection("update_ops")):  # finds: BN112
        net = Net(True)
        return tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(net(x)))
