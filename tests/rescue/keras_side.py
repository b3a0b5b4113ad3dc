"""What the real Keras does with converted files, in a process of its own: `FOLDER` as argument.

Keras 3 does not predict in a process without eager execution, in which the other tests run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

IS_3 = tf.__version__ >= "2.16"
keras: Any = __import__("keras") if IS_3 else tf.keras
IMAGES = np.random.RandomState(2).normal(1.0, 2.0, size=[3, 5, 5, 2]).astype(np.float32)


def model(named: bool = True) -> Any:
    """Each kind of layer that is converted, one with no gamma and one with no beta."""
    kinds = keras.layers

    def name(text: str) -> dict[str, str]:
        return {"name": text} if named else {}

    return keras.Sequential(
        [
            kinds.InputLayer((5, 5, 2)),
            kinds.Conv2D(4, 2, **name("net_conv")),
            kinds.BatchNormalization(epsilon=0.01, **name("net_batch_normalization")),
            kinds.DepthwiseConv2D(2, depth_multiplier=2, **name("depthwise_conv2d")),
            kinds.BatchNormalization(scale=False, epsilon=0.01, **name("plain")),
            kinds.Flatten(),
            kinds.Dropout(0.5),
            kinds.Dense(3, **name("head")),
            kinds.BatchNormalization(center=False, epsilon=0.01, **name("last")),
        ]
    )


class Subclass(keras.Model):  # type: ignore[misc]
    """Layers as attributes, whose names in a file are these."""

    def __init__(self) -> None:
        super().__init__()
        self.first = keras.layers.Dense(4)
        self.blocks = [keras.layers.BatchNormalization() for _ in range(2)]

    def call(self, x: Any) -> Any:
        x = self.first(x)
        for norm in self.blocks:
            x = norm(x)
        return x


def main(folder: Path) -> None:
    net = model()
    net.load_weights(str(folder / "converted.h5"), by_name=True)
    np.save(str(folder / "loaded.npy"), net.predict(IMAGES, verbose=0))
    (net.save if IS_3 else net.save_weights)(str(folder / "keras.h5"))
    if not IS_3:
        return
    for kind, named in (("named", True), ("counted", False)):
        net = model(named)
        numbers = np.random.RandomState(8)
        net.set_weights([numbers.uniform(0.5, 1.5, w.shape) for w in net.get_weights()])
        # What it keeps beside the layers' variables must not be in the way.
        net.compile("adam", "mse")
        net.fit(IMAGES, np.zeros([3, 3]), epochs=1, verbose=0)
        net.save(str(folder / f"{kind}.keras"))
        names = [layer.name for layer in net.layers if layer.weights]
        (folder / f"{kind}.json").write_text(json.dumps(names))
        np.save(str(folder / f"{kind}.npy"), net.predict(IMAGES, verbose=0))
    net.save_weights(str(folder / "net.weights.h5"))
    sub = Subclass()
    sub(IMAGES[:, 0, 0])
    sub.save_weights(str(folder / "sub.weights.h5"))
    whole = keras.Sequential([keras.Input([4]), keras.layers.BatchNormalization(name="bn")])
    whole.save_weights(str(folder / "whole.weights.h5"))
    layer = keras.layers.BatchNormalization(momentum=0.75)
    layer(IMAGES, training=True)
    np.save(str(folder / "variance.npy"), layer.get_weights()[3])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
