# SPDX-License-Identifier: Apache-2.0
"""What is decided before the first op of a layer's call."""

from __future__ import annotations

import logging
from typing import Any

from ..call.call_plan import Plan
from ..call.updates import in_place
from ..kernels.moments import MomentsFn
from ..plan.geometry import Geometry
from ..plan.kernel_choice import KernelChoice, Rows
from ..plan.spec import BatchNormSpec
from ..runtime.graph_place import nobody_runs
from ..runtime.tensorflow_v1 import loses_sizes_in_cond
from ..state.variable_kinds import check_reach, full_name, is_out_of_reach
from ..state.variables import BatchNormVariables

_LOG = logging.getLogger("tf1_bn")


def plan_call(
    spec: BatchNormSpec,
    geometry: Geometry,
    choice: KernelChoice,
    variables: BatchNormVariables,
    moments_fn: MomentsFn | None,
    training: Any,
    trainable: bool,
) -> Plan:
    """The plan of a call where the code builds, and a line for the log.

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
    scope = full_name(variables.moving_mean, "moving_mean").rpartition("/")[0]
    _LOG.debug("%s: %s", scope, choice)
    if trainable and training is not False:
        check_reach(variables.moving_mean, training)
    # Those of a frozen layer are not collected.
    lost = not trainable and (nobody_runs() or is_out_of_reach(variables.moving_mean))
    return Plan(
        spec,
        geometry,
        choice,
        variables,
        moments_fn,
        in_place=trainable and in_place(),
        moves=not lost,
    )
