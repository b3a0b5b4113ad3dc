"""A Keras model, which looks after its own updates."""

import tensorflow as tf

model = tf.keras.Sequential(
    [tf.keras.layers.Dense(4), tf.keras.layers.BatchNormalization(), tf.keras.layers.Dense(2)]
)
model.compile(optimizer=tf.keras.optimizers.Adam(), loss="mse")
model.fit([[1.0]], [[1.0, 2.0]])
