import tensorflow as tf
from tensorflow.contrib import crf  # finds: BN202
from tensorflow.contrib.framework.python.ops import arg_scope  # finds: BN201
from tensorflow.contrib.layers.python.layers import layers as contrib_layers

x = tf.placeholder(tf.float32, [None, 4])  # finds: BN203
with arg_scope([contrib_layers.batch_norm], is_training=False):  # finds: BN100
    y = contrib_layers.batch_norm(x)  # finds: BN100
y = tf.layers.dense(y, 3)  # finds: BN201
cell = tf.nn.rnn_cell.LSTMCell(3)
loss = crf.crf_log_likelihood(y, [0], [1])
run = tf.estimator.Estimator(loss)  # finds: BN202
