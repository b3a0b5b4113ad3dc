from tensorflow.compat.v1 import layers
from tensorflow.compat.v1 import train


class Net:
    def __init__(self):
        self.norm = layers.BatchNormalization(axis=-1)  # finds: BN100

    def build(self, x):
        return self.norm(x)  # finds: BN100 BN101


def fit(x):
    return train.GradientDescentOptimizer(0.1).minimize(Net().build(x))
