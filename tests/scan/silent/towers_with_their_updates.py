"""Each tower collects for its gradients, and a run fetches the whole collection beside them."""

import tensorflow as tf


class Process:
    def towers(self, planes, count):
        optimizer = tf.train.MomentumOptimizer(0.05, 0.9)
        for number in range(count):
            with tf.name_scope(f"tower_{number}"):
                loss = tf.reduce_mean(self.norm(planes))
                with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
                    gradients = optimizer.compute_gradients(loss)
        self.update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        self.train_op = optimizer.apply_gradients(gradients)

    def norm(self, x):
        return tf.layers.batch_normalization(x, axis=1, scale=False, training=self.training)

    def step(self, session):
        session.run([self.train_op, self.update_ops], feed_dict={self.training: True})
