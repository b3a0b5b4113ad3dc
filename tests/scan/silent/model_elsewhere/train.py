import tensorflow.compat.v1 as tf
from model import train_op

step = train_op(tf.ones([2, 3]), True)
with tf.Session() as session:
    session.run([step, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
