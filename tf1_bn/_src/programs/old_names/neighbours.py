# SPDX-License-Identifier: Apache-2.0
"""The rest of `tf.layers` and `tf.nn.rnn_cell`: TensorFlow 2.16 and later carry them unexported.

Private names, and why: `tensorflow.python.layers.{base,convolutional,core,pooling}` and
`tensorflow.python.keras.{engine.input_spec,layers.legacy_rnn.rnn_cell_impl}` are TensorFlow's own
copies of these layers, free of Keras the package. Nothing public leads to them any more.
"""

from __future__ import annotations

import importlib
from typing import Any, Mapping

_CONVOLUTIONS = (
    "conv1d",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "separable_conv1d",
    "separable_conv2d",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "SeparableConv1D",
    "SeparableConv2D",
)
_POOLINGS = tuple(
    name
    for kind in ("average", "max")
    for rank in (1, 2, 3)
    for name in (f"{kind}_pooling{rank}d", f"{kind.capitalize()}Pooling{rank}D")
)

LAYERS: Mapping[str, tuple[str, ...]] = {
    "tensorflow.python.layers.base": ("Layer",),
    "tensorflow.python.keras.engine.input_spec": ("InputSpec",),
    "tensorflow.python.layers.convolutional": _CONVOLUTIONS,
    "tensorflow.python.layers.core": ("dense", "dropout", "flatten", "Dense", "Dropout", "Flatten"),
    "tensorflow.python.layers.pooling": _POOLINGS,
}
RNN_CELLS: Mapping[str, tuple[str, ...]] = {
    "tensorflow.python.keras.layers.legacy_rnn.rnn_cell_impl": (
        "BasicLSTMCell",
        "BasicRNNCell",
        "DeviceWrapper",
        "DropoutWrapper",
        "GRUCell",
        "LSTMCell",
        "LSTMStateTuple",
        "MultiRNNCell",
        "RNNCell",
        "ResidualWrapper",
    )
}


def names(homes: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The public names among `LAYERS` or `RNN_CELLS`."""
    return {name for listed in homes.values() for name in listed}


def find(homes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Public name to TensorFlow's own private copy.

    Raises:
      ImportError: this TensorFlow no longer has one of the modules or names.
    """
    return {name: _find(home, name) for home, listed in homes.items() for name in listed}


def _find(home: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(home), name)
    except (AttributeError, ImportError) as error:
        raise ImportError(
            f"tf1_bn.install(neighbours=True) rests on `{home}.{name}`, which this TensorFlow no "
            f"longer has ({error}). Call tf1_bn.install() without neighbours, and write the other "
            "layers with tf.nn as migration_guide/recipes.md shows."
        ) from error
