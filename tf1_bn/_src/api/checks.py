# SPDX-License-Identifier: Apache-2.0
"""Whatever can be said against a call before it touches the graph."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..plan.geometry import Geometry, check_ghost_batches, geometry_of
from ..plan.spec import BatchNormSpec, check_name, is_number, is_tensor_like
from ..runtime.tensorflow_v1 import tf
from ..runtime.training_flag import check_training, static_training
from ..settings.constraints import resolve_constraint
from ..settings.initializers import resolve_initializer
from ..settings.regularizers import resolve_regularizer

INITIALIZERS = (
    "beta_initializer",
    "gamma_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
)
REGULARIZERS = ("beta_regularizer", "gamma_regularizer")
CONSTRAINTS = ("beta_constraint", "gamma_constraint")

# What TensorFlow takes outside of any scope, and inside of one.
_SCOPE_NAME = re.compile(r"^[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*$")
_INNER_SCOPE_NAME = re.compile(r"^[A-Za-z0-9_.\\/>-]*$")


def make_spec(**arguments: Any) -> BatchNormSpec:
    """A validated spec, its functions resolved from names, classes and configs."""
    resolved = {name: resolve_initializer(name, arguments[name]) for name in INITIALIZERS}
    for names, resolve in ((REGULARIZERS, resolve_regularizer), (CONSTRAINTS, resolve_constraint)):
        resolved.update((name, resolve(name, arguments.get(name))) for name in names)
    return BatchNormSpec(**{**arguments, **resolved})


def check_call(
    spec: BatchNormSpec,
    inputs: Any,
    training: Any,
    layer_dtype: str | None = None,
    built: Geometry | None = None,
) -> Geometry:
    """Raises for whatever is wrong with a call, before it adds anything to the graph.

    A layer that is `built` already knows the channels that the static shape leaves open.
    """
    check_training(training)
    geometry = _geometry_of_inputs(spec, inputs, layer_dtype, built)
    check_phase(spec, geometry, training)
    return geometry


def check_phase(spec: BatchNormSpec, geometry: Geometry, training: Any) -> None:
    """Raises where a checked `training` trains on a batch that ghosts do not divide."""
    if static_training(training) is not False:
        check_ghost_batches(spec, geometry)


def _geometry_of_inputs(
    spec: BatchNormSpec, inputs: Any, layer_dtype: str | None, built: Geometry | None
) -> Geometry:
    shape, dtype = _shape_and_dtype(inputs)
    if built is not None and shape is not None and len(shape) == built.rank:
        known = {axis: built.input_shape[axis] for axis in built.channel_axes}
        shape = [known.get(axis) if size is None else size for axis, size in enumerate(shape)]
    return geometry_of(spec, shape, dtype, layer_dtype)


def check_scope_name(name: Any) -> None:
    """Raises ValueError for a name that TensorFlow would not take as a scope, here and now."""
    check_name(name)
    if not isinstance(name, str) or not name or _SCOPE_NAME.match(name):
        return
    nested = tf.get_default_graph().get_name_scope() and tf.get_variable_scope().name
    if not (nested and _INNER_SCOPE_NAME.match(name)):
        raise ValueError(
            f"'{name}' is not a valid scope name: `name` must be made of letters, digits and the "
            f"characters _ . / - \\ and begin, outside of any scope, with a letter, a digit or a "
            f"dot (got {name!r})."
        )


def dims(shape: Any) -> list[int | None] | None:
    """A TensorShape as a list, None for an unknown rank."""
    return None if shape.ndims is None else shape.as_list()


def _shape_and_dtype(inputs: Any) -> tuple[Any, str]:
    """The static shape (None if unknown) and dtype name of what can be normalized.

    Raises:
      TypeError: no tensor, variable or array.
      ValueError: None, or a tensor of another graph.
    """
    if inputs is None:
        raise ValueError("Input has undefined rank: `inputs` must be a tensor (got None).")
    if isinstance(inputs, (np.ndarray, np.generic)) or is_number(inputs):
        array = np.asarray(inputs)
        return array.shape, array.dtype.name
    if isinstance(inputs, (tf.SparseTensor, tf.RaggedTensor)) or not is_tensor_like(inputs):
        raise TypeError(
            "`inputs` must be a dense tensor, a variable or a NumPy array "
            f"(got {type(inputs).__name__}: {inputs!r})."
        )
    graph = tf.get_default_graph()
    if not graph.building_function and getattr(inputs, "graph", graph) is not graph:
        raise ValueError(f"`inputs` must be of the default graph (got {inputs!r} of another).")
    return dims(tf.TensorShape(inputs.shape)), tf.as_dtype(inputs.dtype).base_dtype.name
