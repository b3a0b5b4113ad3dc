# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the values of variables in the default session, or eagerly."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ..runtime.tensorflow_v1 import Variable, tf


def read_values(variables: Sequence[Variable]) -> list[Any]:
    """The values as arrays; those that were never initialized are so first, as in TF1.

    Raises:
      RuntimeError: there is no default session.
    """
    if not variables:
        return []
    if tf.executing_eagerly():
        return [variable.numpy() for variable in variables]
    session = _session("get_weights")
    try:
        return list(session.run(list(variables)))
    except tf.errors.FailedPreconditionError:
        known = session.run([tf.is_variable_initialized(variable) for variable in variables])
        session.run([v.initializer for v, is_known in zip(variables, known) if not is_known])
        return list(session.run(list(variables)))


def write_values(variables: Sequence[Variable], values: Sequence[Any], layer_name: str) -> None:
    """Gives each variable its value; the graph stays as it is.

    Raises:
      ValueError: another number of values, or another shape, before anything is written.
      RuntimeError: there is no default session.
    """
    if len(variables) != len(values):
        raise ValueError(
            f"You called `set_weights(weights)` on layer {layer_name!r} with a weight list of "
            f"length {len(values)}, but the layer was expecting {len(variables)} weights."
        )
    arrays = [_fitting(variable, value, layer_name) for variable, value in zip(variables, values)]
    if not arrays:
        return
    if tf.executing_eagerly():
        for variable, array in zip(variables, arrays):
            variable.assign(array)
        return
    session = _session("set_weights")
    initializers = [variable.initializer for variable in variables]
    # The value of an initializer can be fed, so that no op is made, and finalized graphs serve.
    feed = {op.inputs[1]: array for op, array in zip(initializers, arrays)}
    session.run(initializers, feed)


def _fitting(variable: Variable, value: Any, layer_name: str) -> Any:
    array = np.asarray(value, tf.as_dtype(variable.dtype).base_dtype.as_numpy_dtype)
    if not variable.shape.is_compatible_with(array.shape):
        raise ValueError(
            f"Layer weight shape {variable.shape} not compatible with provided weight shape "
            f"{array.shape}, of {variable.name!r} of layer {layer_name!r}."
        )
    return array


def _session(method: str) -> Any:
    session = tf.get_default_session()
    if session is None:
        raise RuntimeError(
            f"`{method}` needs the session that holds the variables: call it inside of "
            "`with tf.Session() as session:`."
        )
    return session
