# SPDX-License-Identifier: Apache-2.0
"""The `training` argument: what counts as a flag, and whether its value is known beforehand."""

from __future__ import annotations

from typing import Any, Union

import numpy as np

from ..plan.spec import in_both_words, is_number, is_tensor_like
from .constant_folding import constant_value
from .tensorflow_v1 import Tensor, tf

# Keras' name: a program that feeds `tf.keras.backend.learning_phase()` by name keeps working.
LEARNING_PHASE = "keras_learning_phase"

# A resolved flag: True for training, False for inference, a bool scalar tensor if the run decides.
Phase = Union[bool, Tensor]


def check_training(training: Any) -> bool | None:
    """Raises unless `training` is a flag; makes no op.

    Returns:
      Its value if it is known before the run, otherwise None.

    Raises:
      TypeError: not a bool, 0, 1, None, bool tensor or constant number.
      ValueError: a bool tensor that is no scalar.
    """
    known = static_training(training)
    if training is None or known is not None:
        return known
    allowed = "`training` must be True, False, 0, 1, None or a scalar bool tensor"
    if not is_tensor_like(training):
        phrase = (
            f"`pred` must be a Tensor, or a Python bool, or 1 or 0. Found instead: {training!r}"
        )
        raise in_both_words(TypeError, f"{allowed} (got {training!r}).", phrase)
    dtype = tf.as_dtype(training.dtype).base_dtype
    if dtype != tf.bool:
        raise TypeError(f"{allowed} (got a tensor of type {dtype.name}: {training!r}).")
    rank = tf.TensorShape(training.shape).ndims
    if rank not in (None, 0):
        raise ValueError(f"{allowed} (got a tensor of rank {rank}: {training!r}).")
    return None


def static_training(training: Any) -> bool | None:
    """The value of a checked flag if it is known before the run, otherwise None; makes no op."""
    if training is None:
        return None
    flag = _python_flag(training)
    return _constant_flag(training) if flag is None else flag


def resolve_training(training: Any, known: bool | None, folds: bool = True) -> Phase:
    """A checked flag as a Python bool where its value is `known`, as a bool tensor otherwise.

    Without `folds` a bool tensor that is computed from constants remains one: contrib's own code
    did not look that far, and has other names then.
    """
    if not folds and isinstance(training, tf.Tensor) and training.dtype == tf.bool:
        known = None if tf.get_static_value(training) is None else known
    if known is not None:
        return known
    if training is None:
        return _learning_phase()
    return tf.convert_to_tensor(training, name="training")


def _python_flag(training: Any) -> bool | None:
    if isinstance(training, np.ndarray) and training.ndim == 0:
        training = training.item()
    if isinstance(training, (bool, np.bool_)):
        return bool(training)
    if is_number(training) and training in (0, 1):
        return bool(training)
    return None


def _constant_flag(training: Any) -> bool | None:
    """The truth of a tensor that surely holds one number; as in TF1 any but 0 is True."""
    # Not so a variable: its value may change, and asking for it would read it.
    if not isinstance(training, tf.Tensor):
        return None
    known = tf.get_static_value(training)
    if known is None and isinstance(getattr(training, "graph", None), tf.Graph):
        known = constant_value(training)
    known = np.asarray(known)
    return bool(known.item()) if known.size == 1 and known.dtype.kind in "biuf" else None


def _learning_phase() -> Tensor:
    graph = tf.get_default_graph()
    try:
        return graph.get_tensor_by_name(f"{LEARNING_PHASE}:0")
    except KeyError:
        with tf.name_scope(None), tf.control_dependencies(None):
            return tf.placeholder_with_default(False, shape=(), name=LEARNING_PHASE)
