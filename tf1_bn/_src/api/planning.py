# SPDX-License-Identifier: Apache-2.0
"""What is checked and decided before the first op of a call."""

from __future__ import annotations

import logging
import re
from typing import Any, Mapping, NamedTuple

import numpy as np

from ..call.call_plan import Plan
from ..call.updates import UPDATES, in_place
from ..kernels.moments import MomentsFn
from ..objects.graph_layer import resolved
from ..plan.geometry import Geometry, check_ghost_batches, geometry_of
from ..plan.kernel_choice import KernelChoice
from ..plan.spec import (
    SPEC_FIELDS,
    BatchNormSpec,
    check_name,
    in_both_words,
    is_number,
    is_tensor_like,
)
from ..plan.ways import Rows
from ..runtime.graph_place import nobody_runs
from ..runtime.open_scopes import ever_opened
from ..runtime.tensorflow_v1 import Tensor, loses_sizes_in_cond, tf
from ..runtime.training_flag import Phase, check_training
from ..state.reach import check_reach, full_name, is_out_of_reach
from ..state.variables import BatchNormVariables

_LOG = logging.getLogger("tf1_bn")

SETTINGS = (
    *("beta_initializer", "gamma_initializer"),
    *("moving_mean_initializer", "moving_variance_initializer"),
    *("beta_regularizer", "gamma_regularizer"),
    *("beta_constraint", "gamma_constraint"),
)

# What TensorFlow takes outside of any scope, and inside of one.
_SCOPE_NAME = re.compile(r"^[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*$")
_INNER_SCOPE_NAME = re.compile(r"^[A-Za-z0-9_.\\/>-]*$")


class Checked(NamedTuple):
    """What was checked of a call, as given, and what follows from it.

    Attributes:
      spec: of the layer.
      inputs: what is to be normalized; its static shape and dtype are those of `geometry`.
      training: of whatever kind a flag may be.
      geometry: of `inputs`.
      trains: True or False if that is known before the run, otherwise None.
    """

    spec: BatchNormSpec
    inputs: Any
    training: Any
    geometry: Geometry
    trains: bool | None

    def holds(self, spec: BatchNormSpec, inputs: Tensor, training: Any) -> bool:
        """Whether it was these that were checked."""
        return self.spec is spec and self.inputs is inputs and self.training is training


def make_spec(given: Mapping[str, Any]) -> BatchNormSpec:
    """A validated spec of the arguments among `given`, with what their names and configs mean."""
    arguments = {name: given[name] for name in SPEC_FIELDS if name in given}
    for name in SETTINGS:
        if name in arguments:
            arguments[name] = resolved(name, arguments[name])
    return BatchNormSpec(**arguments)


def check_call(
    spec: BatchNormSpec,
    inputs: Any,
    training: Any,
    layer_dtype: str | None = None,
    built: Geometry | None = None,
) -> Checked:
    """Raises for whatever is wrong with a call, before it adds anything to the graph.

    A layer that is `built` already knows the channels that the static shape leaves open.
    """
    trains = training if isinstance(training, bool) else check_training(training)
    shape, dtype = _shape_and_dtype(inputs)
    if built is not None and shape is not None and len(shape) == built.rank:
        known = {axis: built.input_shape[axis] for axis in built.channel_axes}
        shape = [known.get(axis) if size is None else size for axis, size in enumerate(shape)]
    geometry = geometry_of(spec, shape, dtype, layer_dtype)
    if trains is not False:
        check_ghost_batches(spec, geometry)
    return Checked(spec, inputs, training, geometry, trains)


def check_scope_name(name: Any) -> None:
    """Raises ValueError for a name that TensorFlow would not take as a scope, here and now."""
    check_name(name)
    if not isinstance(name, str) or not name or _SCOPE_NAME.match(name):
        return
    nested = tf.get_default_graph().get_name_scope() and tf.get_variable_scope().name
    if not (nested and _INNER_SCOPE_NAME.match(name)):
        raise in_both_words(
            ValueError,
            "`name` must be made of letters, digits and the characters _ . / - \\ and begin, "
            f"outside of any scope, with a letter, a digit or a dot (got {name!r}).",
            f"'{name}' is not a valid scope name",
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
        rule = "`inputs` must be a tensor (got None)."
        raise in_both_words(ValueError, rule, "Input has undefined rank")
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


def plan_call(
    spec: BatchNormSpec,
    geometry: Geometry,
    choice: KernelChoice,
    variables: BatchNormVariables,
    moments_fn: MomentsFn | None,
    training: Phase,
    trainable: bool,
) -> Plan:
    """The plan of a call in the graph and scope that are being built; logs its kernel.

    Args:
      spec: what the layer was told.
      geometry: of the input.
      choice: the kernels for this input, wherever it stands.
      variables: of the layer.
      moments_fn: of a subclass that has its own; otherwise None.
      training: True, False or a bool scalar tensor.
      trainable: whether the layer says that it is.

    Raises:
      TypeError: the averages cannot be moved from here.
    """
    open_sizes = isinstance(choice.in_training, Rows) and None in geometry.input_shape
    if open_sizes and not isinstance(training, bool) and loses_sizes_in_cond():
        choice = choice.composed("unknown sizes in a conditional, which XLA could not compile")
    mean = variables.moving_mean
    if _LOG.isEnabledFor(logging.DEBUG):
        _LOG.debug("%s: %s", full_name(mean, "moving_mean").rpartition("/")[0], choice)
    # In its own graph every variable can be assigned.
    away = getattr(mean, "graph", None) is not tf.get_default_graph()
    if away and trainable and training is not False:
        check_reach(mean, training)
    # Nobody collects the updates of a frozen layer: where they could not be built, none are.
    lost = not trainable and (nobody_runs() or (away and is_out_of_reach(mean)))
    return Plan(
        spec,
        geometry,
        choice,
        variables,
        moments_fn,
        in_place=trainable and UPDATES in ever_opened and in_place(),
        moves=not lost,
    )
