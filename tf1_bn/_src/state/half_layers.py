# SPDX-License-Identifier: Apache-2.0
"""Layers of which some variables exist and others cannot be made: refused before the first one."""

from __future__ import annotations

import contextlib
from typing import Any, Mapping, Sequence

from ..runtime.tensorflow_v1 import tf
from .leftovers import find


def refuse_half_layers(
    scope: Any, names: Mapping[str, str], shape: Sequence[int], dtype: Any
) -> None:
    """Raises before anything is made if a later variable of the layer could not be made.

    TensorFlow checks one variable at a time, and would leave the first ones of the layer behind.

    Args:
      scope: the variable scope that the layer makes them in.
      names: below the scope, in creation order, each with its full name.
      shape: of all of them.
      dtype: likewise.
    """
    present = [_names_an_op(full) and find(full) is None for full in names.values()]
    # All or none: TensorFlow refuses at the first variable.
    if all(present) or not any(present):
        return
    found = [name for name, is_there in zip(names, present) if is_there]
    with tf.variable_scope(scope, reuse=True, auxiliary_name_scope=False) as sharing:
        shared = []
        for name in found:
            # The statistics are never partitioned, and shared as they were made.
            split = name in ("gamma", "beta")
            sharing.set_partitioner(scope.partitioner if split else None)
            if _is_shared(name, shape, dtype, fits=bool(scope.reuse)):
                shared.append(name)
    # AUTO_REUSE makes only what is missing.
    if shared and not scope.reuse:
        raise ValueError(
            f"Variable {names[shared[0]]} already exists, disallowed. Did you mean to "
            "set `reuse=True` or `reuse=tf.AUTO_REUSE`? The layer needs "
            f"{list(names)} and only {shared} exist under this `name`."
        )


def _is_shared(name: str, shape: Sequence[int], dtype: Any, fits: bool) -> bool:
    try:
        tf.get_variable(name, shape, dtype)
    except ValueError as error:
        missing = "does not exist" in str(error)
        if fits and not missing:
            raise
        return not missing
    return True


def _names_an_op(name: str) -> bool:
    for op_name in (name, f"{name}/part_0"):
        with contextlib.suppress(KeyError):
            tf.get_default_graph().get_operation_by_name(op_name)
            return True
    return False
