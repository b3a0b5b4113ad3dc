# SPDX-License-Identifier: Apache-2.0
"""The calls of contrib that `tf.layers` has no arguments for: contrib computed them itself."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, NamedTuple

from ..call.call_plan import Plan
from ..call.updates import in_place
from ..kernels.moments import MomentsFn
from ..plan.geometry import Geometry, geometry_of
from ..plan.kernel_choice import KernelChoice, choose_kernel
from ..plan.spec import BatchNormSpec
from ..runtime.tensorflow_v1 import Tensor, machine, tf
from ..state.variable_kinds import check_future_reach, check_reach
from .averages import Averages, Weights, moving_moments
from .variables import create_contrib_variables, create_shadow


class Form(NamedTuple):
    """How a call is computed without the layer: what the core is told of it.

    The fused kernel sees rank 2 as rank 4, with height and width 1.
    """

    spec: BatchNormSpec
    geometry: Geometry
    choice: KernelChoice


class Options(NamedTuple):
    """What only this module knows of."""

    batch_weights: Any
    zero_debias: bool
    updates_collections: Any
    variables_collections: Any


def fused_form(spec: BatchNormSpec, geometry: Geometry) -> Form | None:
    if geometry.rank == 2:
        spec = dataclasses.replace(spec, axis=-1)
        batch, channels = geometry.input_shape
        geometry = geometry_of(spec, (batch, 1, 1, channels), geometry.dtype)
    choice = choose_kernel(spec, geometry, machine())
    return Form(spec, geometry, choice) if choice.fused else None


def unfused_form(spec: BatchNormSpec, geometry: Geometry) -> Form:
    if spec.adjustment is not None:
        _warn_ignored("adjustment")
    if (spec.center and spec.beta_regularizer) or (spec.scale and spec.gamma_regularizer):
        _warn_ignored("param_regularizers")
    spec = dataclasses.replace(
        spec, fused=False, adjustment=None, beta_regularizer=None, gamma_regularizer=None
    )
    return Form(spec, geometry, choose_kernel(spec, geometry, machine()))


def _warn_ignored(argument: str) -> None:
    warnings.warn(
        f"tf1_bn.contrib.batch_norm ignores `{argument}` in this call, as tf.contrib did silently: "
        "with `batch_weights`, `zero_debias_moving_mean` or other `updates_collections` than "
        "UPDATE_OPS only the fused kernel knows of regularizers, and no kernel of `adjustment`.",
        UserWarning,
        stacklevel=6,  # past the wrappers around `batch_norm`
    )


def normalized(inputs: Tensor, training: Any, form: Form, options: Options) -> Tensor:
    """Makes the variables, normalizes, and moves the averages or collects the ops that do."""
    if training is not False:
        check_future_reach("moving_mean", training)
    variables = create_contrib_variables(form.spec, form.geometry, options.variables_collections)
    if training is not False:
        check_reach(variables.moving_mean, training)
    shadow = None
    if options.zero_debias and training is not False:
        shadow = create_shadow(variables.moving_mean)
    moments_fn: MomentsFn | None = None
    counts = None
    if options.batch_weights is not None:
        weights = Weights.of(options.batch_weights, form.geometry)
        moments_fn, counts = weights.moments_fn(moving_moments(variables)), weights.any
    plan = Plan(form.spec, form.geometry, form.choice, variables, moments_fn)
    averages = Averages(plan, shadow, counts)

    view = inputs
    if form.geometry.rank != inputs.shape.ndims:
        view = tf.reshape(inputs, [-1, 1, 1, form.geometry.input_shape[-1]])
    if options.updates_collections is None:
        outputs = averages.before_outputs(view, training)
    elif in_place():
        outputs = averages.after_outputs(view, training)
    else:
        outputs = averages.collected_updates(view, training, options.updates_collections)
    if view is not inputs:
        outputs = tf.reshape(outputs, tf.shape(inputs))
    outputs.set_shape(inputs.shape)
    return outputs
