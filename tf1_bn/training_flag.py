# SPDX-License-Identifier: Apache-2.0
"""The `training` argument: what counts as a flag, and whether its value is known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._compat import tf
from .spec import is_number, is_tensor_like

# Keras' name: a program that feeds `tf.keras.backend.learning_phase()` by name keeps working.
LEARNING_PHASE = "keras_learning_phase"


def check_training(training: Any) -> None:
    """Raises unless `training` is a flag; makes no op.

    Raises:
      TypeError: not a bool, 0, 1, None or bool tensor.
      ValueError: a bool tensor that is no scalar.
    """
    if training is None or _python_flag(training) is not None:
        return
    allowed = "`training` must be True, False, 0, 1, None or a scalar bool tensor"
    if not is_tensor_like(training):
        raise TypeError(
            f"{allowed}: `pred` must be a Tensor, or a Python bool, or 1 or 0. "
            f"Found instead: {training!r}."
        )
    dtype = tf.as_dtype(training.dtype).base_dtype
    if dtype != tf.bool:
        raise TypeError(f"{allowed} (got a tensor of type {dtype.name}: {training!r}).")
    rank = tf.TensorShape(training.shape).ndims
    if rank not in (None, 0):
        raise ValueError(f"{allowed} (got a tensor of rank {rank}: {training!r}).")


def static_training(training: Any) -> bool | None:
    """The value of a checked flag if it is known before the run; makes no op."""
    if training is None:
        return None
    flag = _python_flag(training)
    # A variable's value may change, and asking for it would read it.
    if flag is not None or hasattr(training, "assign"):
        return flag
    known = tf.get_static_value(training)
    return None if known is None else bool(known)


def resolve_training(training: Any) -> Any:
    """A checked flag as a Python bool where it is known beforehand, as a bool tensor otherwise."""
    if training is None:
        return _learning_phase()
    known = static_training(training)
    return tf.convert_to_tensor(training, name="training") if known is None else known


def _python_flag(training: Any) -> bool | None:
    if isinstance(training, np.ndarray) and training.ndim == 0:
        training = training.item()
    if isinstance(training, (bool, np.bool_)):
        return bool(training)
    if is_number(training) and training in (0, 1):
        return bool(training)
    return None


def _learning_phase() -> Any:
    graph = tf.get_default_graph()
    try:
        return graph.get_tensor_by_name(f"{LEARNING_PHASE}:0")
    except KeyError:
        with tf.name_scope(None), tf.control_dependencies(None):
            return tf.placeholder_with_default(False, shape=(), name=LEARNING_PHASE)
