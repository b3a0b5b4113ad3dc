import tensorflow.compat.v1 as tf

try:
    from tensorflow.contrib.opt import ScipyOptimizerInterface
except ImportError:
    ScipyOptimizerInterface = None


def paint(image, session):
    loss = tf.reduce_mean(tf.layers.batch_normalization(image))
    ScipyOptimizerInterface(loss, var_list=[image]).minimize(session)
