# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of TensorFlow: both formats are read, by name and by object; V2 is written."""

from __future__ import annotations

import contextlib
import glob
import os
from typing import Any, Iterator, Mapping

import numpy as np

from ....discovery.found import FoundLayer
from ....doctor.facts.case import Case, case_of, name_of
from ....doctor.rules.layers.momentum import rate_of
from ....doctor.targets import Target, targets_of
from ....files.whole_files import open_regular
from ....runtime.tensorflow_v1 import tf
from .held import TENSORFLOW, Held, Settings, count_of

_OBJECT = "/.ATTRIBUTES/VARIABLE_VALUE"
_NO_VALUE = "_CHECKPOINTABLE_OBJECT_GRAPH"
# The last bytes of a table, which is V1's only file and V2's index.
_TABLE = bytes.fromhex("57fb808b247547db")


def read_checkpoint(path: str) -> Held:
    """The variables of a checkpoint, and what the graph beside it tells of layers.

    Raises:
      OSError: it is not there.
      ValueError: it is none, or damaged.
    """
    if _is_first_format(path):
        return Held(TENSORFLOW, _values(path), {}, (path,))
    try:
        target = targets_of(path)[0]
    except ValueError:
        if os.path.isdir(path) or path.endswith((".meta", ".index")):
            raise
        known = "no checkpoint, and no file of arrays, of Keras or of PyTorch"
        raise ValueError(f"{path}: {known}, or damaged") from None
    if target.values is None:
        raise ValueError(f"{path}: a graph without values; give the checkpoint")
    settings = {} if target.graph is None else _settings(case_of(target.graph, target.question))
    return Held(TENSORFLOW, _values(target.values), settings, _files(target))


def _is_first_format(path: str) -> bool:
    if not os.path.isfile(path) or path.endswith(".index"):
        return False
    with open_regular(path, 2**62) as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - len(_TABLE)))
        return opened.read() == _TABLE


def _files(target: Target) -> tuple[str, ...]:
    escaped = glob.escape(str(target.values))
    return (*glob.glob(f"{escaped}.*"), *glob.glob(escaped))


def _values(prefix: str) -> dict[str, Any]:
    with _one_line(prefix):
        reader = tf.train.load_checkpoint(prefix)
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        _check_size(prefix, shapes, types)
        return {
            key[: -len(_OBJECT)] if key.endswith(_OBJECT) else key: np.asarray(
                reader.get_tensor(key)
            )
            for key in sorted(shapes)
            if key != _NO_VALUE
        }


def _check_size(prefix: str, shapes: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    """TensorFlow takes memory for whatever shape an index names."""
    data = glob.glob(f"{glob.escape(prefix)}.data-*") or [prefix]
    there = sum(os.path.getsize(each) for each in data)
    for key, shape in shapes.items():
        if count_of(shape) > there * 8:
            raise ValueError(f"{key} has shape {list(shape)}, and there are {there} bytes")


@contextlib.contextmanager
def _one_line(prefix: str) -> Iterator[None]:
    try:
        yield
    except (tf.errors.OpError, LookupError, RuntimeError, ValueError, MemoryError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{prefix}: the checkpoint cannot be read: {line}") from None


def _settings(case: Case) -> dict[str, Settings]:
    return {name_of(layer): _settings_of(case, layer) for layer in case.found.layers}


def _settings_of(case: Case, layer: FoundLayer) -> Settings:
    epsilons = {call.epsilon for call in layer.calls}
    rates = {rate_of(case.view, update) for call in layer.calls for update in call.updates}
    epsilon = epsilons.pop() if len(epsilons) == 1 else None
    rate = rates.pop() if len(rates) == 1 else None
    # As people write them: an op keeps float32.
    return Settings(
        None if epsilon is None else float(f"{epsilon:.6g}"),
        None if rate is None else float(f"{1.0 - rate:.6g}"),
    )


def write_checkpoint(prefix: str, arrays: Mapping[str, Any]) -> None:
    """Writes a checkpoint by name: `prefix.index` and `prefix.data-00000-of-00001`.

    Raises:
      OSError: TensorFlow cannot write it.
    """
    values = [np.asarray(array) for array in arrays.values()]
    with tf.Graph().as_default(), tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as s:
        fed = [tf.placeholder(_type(value), value.shape) for value in values]
        saved = tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=list(arrays), shape_and_slices=[""] * len(fed), tensors=fed
        )
        try:
            s.run(saved, dict(zip(fed, values)))
        except tf.errors.OpError as error:
            raise OSError(f"TensorFlow cannot write it: {_reason(error, prefix)}") from None


def _reason(error: Exception, prefix: str) -> str:
    """What the operating system said, which TensorFlow tells somewhere behind a file's name."""
    lines = [line for line in str(error).splitlines() if line.startswith(prefix)]
    return lines[0].rpartition("; ")[2] if lines else type(error).__name__


def _type(value: Any) -> Any:
    return tf.string if value.dtype.kind in "OSU" else tf.as_dtype(value.dtype)
