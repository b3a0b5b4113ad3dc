# SPDX-License-Identifier: Apache-2.0
"""The older Keras file, `.h5`, is what is written: it names layers by their names.

`.weights.h5` and `.keras` name a layer by its class and its place in the model, which no
checkpoint tells.
"""

from __future__ import annotations

import importlib
import io
from typing import Any, Mapping

import numpy as np

from .held import ROLES, split

_MOST_ATTRIBUTE = 60_000
_ORDER = (*ROLES, "depthwise_kernel", "pointwise_kernel", "kernel", "recurrent_kernel", "bias")


def h5py_module() -> Any:
    """h5py.

    Raises:
      ImportError: it is missing.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError:
        raise ImportError("Keras files need h5py, which TensorFlow brings with it") from None


def keras_file(arrays: Mapping[str, Any]) -> bytes:
    """A file that `model.load_weights(path, by_name=True)` reads: `layer/variable` each."""
    layers: dict[str, list[str]] = {}
    for name in arrays:
        layers.setdefault(split(name)[0], []).append(name)
    content = io.BytesIO()
    with h5py_module().File(content, "w") as file:
        # Of a version that needs no conversion.
        file.attrs["keras_version"], file.attrs["backend"] = b"2.0.0", b"tensorflow"
        _put_names(file, "layer_names", list(layers))
        for layer, names in layers.items():
            group = file.create_group(layer)
            names = sorted(names, key=_place)
            _put_names(group, "weight_names", names)
            for name in names:
                group.create_dataset(name, data=np.asarray(arrays[name]))
    return content.getvalue()


def _place(name: str) -> tuple[int, str]:
    leaf = split(name)[1]
    return (_ORDER.index(leaf) if leaf in _ORDER else len(_ORDER), leaf)


def _put_names(group: Any, key: str, names: list[str]) -> None:
    encoded = np.array([name.encode("utf-8") for name in names] or [b""])
    if encoded.nbytes <= _MOST_ATTRIBUTE:
        group.attrs[key] = encoded
        return
    pieces = np.array_split(encoded, encoded.nbytes // _MOST_ATTRIBUTE + 1)
    for place, piece in enumerate(pieces):
        group.attrs[f"{key}{place}"] = piece
