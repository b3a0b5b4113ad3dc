"""DeepXDE's tensorflow_compat_v1 backend learns sin(x) with batch normalization in its FNN."""

import os

os.environ["DDE_BACKEND"] = "tensorflow.compat.v1"

import deepxde as dde
import numpy as np

dde.config.set_random_seed(2)
space = dde.geometry.Interval(-1, 1)
data = dde.data.Function(space, lambda x: np.sin(3 * x), 24, 40)
net = dde.nn.FNN([1, 15, 15, 1], "tanh", "Glorot uniform", batch_normalization="before")
model = dde.Model(data, net)
model.compile("adam", lr=0.003)
model.train(iterations=2000, display_every=1000)

tf = dde.backend.tf
moving = [v for v in tf.global_variables() if "moving_mean" in v.name]
values = model.sess.run(moving)
print("moved", [bool(np.abs(value).max() > 0) for value in values])
error = np.sqrt(np.mean((model.predict(data.test_x) - data.test_y) ** 2))
print(f"root mean square error {error:.3f}")
