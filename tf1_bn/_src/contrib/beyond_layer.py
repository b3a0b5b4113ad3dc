# SPDX-License-Identifier: Apache-2.0
"""The calls of contrib that `tf.layers` has no arguments for: contrib computed them itself."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Sequence

import numpy as np

from ..call.call_plan import Plan
from ..call.updates import in_place
from ..kernels.batch import moments_or
from ..kernels.moments import Moments, MomentsFn
from ..plan.geometry import Geometry, geometry_of
from ..plan.kernel_choice import choose_kernel, contract_of
from ..plan.spec import BatchNormSpec, is_tensor_like
from ..runtime.graph_place import nobody_runs
from ..runtime.tensorflow_v1 import Tensor, Variable, machine, tf
from ..state.reach import check_future_reach, check_reach
from ..state.variables import BatchNormVariables
from .averages import (
    after_outputs,
    before_outputs,
    collected_updates,
    moves_of,
    moving_moments,
)
from .variables import create_contrib_variables, create_shadow


def check_weights(batch_weights: Any, geometry: Geometry) -> None:
    """Raises ValueError if there are `batch_weights`, and not one for each row of the input."""
    if batch_weights is None:
        return
    shape = tf.TensorShape(
        batch_weights.shape if is_tensor_like(batch_weights) else np.shape(batch_weights)
    )
    expected = geometry.input_shape[:1]
    if not shape.is_compatible_with(expected):
        raise ValueError(
            f"`batch_weights` must have one value for each row, shape {list(expected)} "
            f"(got shape {shape})."
        )


def is_beyond_layer(
    renorm: Any, batch_weights: Any, zero_debias: Any, updates_collections: Any
) -> bool:
    """Whether the layer has none of these, so that contrib computed such a call itself.

    Raises:
      ValueError: it did, which knows no renorm.
    """
    beyond = (
        batch_weights is not None or zero_debias or updates_collections != tf.GraphKeys.UPDATE_OPS
    )
    if renorm and beyond:
        raise ValueError(
            "renorm is not supported with batch_weights, updates_collections or "
            f"zero_debias_moving_mean: `renorm` must be False with these (got {renorm!r})."
        )
    return bool(beyond)


def fused_form(spec: BatchNormSpec, geometry: Geometry) -> tuple[BatchNormSpec, Geometry] | None:
    """What the core is told of a call that contrib fused; None if it did not fuse it.

    Contrib's fused kernel saw rank 2 as rank 4, with height and width 1.
    """
    if geometry.rank == 2:
        spec = dataclasses.replace(spec, axis=-1)
        batch, channels = geometry.input_shape
        geometry = geometry_of(spec, (batch, 1, 1, channels), geometry.dtype)
    return (spec, geometry) if contract_of(spec, geometry).fused else None


def unfused_form(spec: BatchNormSpec, geometry: Geometry) -> tuple[BatchNormSpec, Geometry]:
    """What the core is told of any other call; warns of what contrib's own kernel ignored."""
    if spec.adjustment is not None:
        _warn_ignored("adjustment")
    if (spec.center and spec.beta_regularizer) or (spec.scale and spec.gamma_regularizer):
        _warn_ignored("param_regularizers")
    spec = dataclasses.replace(
        spec, fused=False, adjustment=None, beta_regularizer=None, gamma_regularizer=None
    )
    return spec, geometry


def _warn_ignored(argument: str) -> None:
    warnings.warn(
        f"tf1_bn.contrib.batch_norm ignores `{argument}` in this call, as tf.contrib did silently: "
        "with `batch_weights`, `zero_debias_moving_mean` or other `updates_collections` than "
        "UPDATE_OPS only the fused kernel knows of regularizers, and no kernel of `adjustment`.",
        UserWarning,
        stacklevel=6,  # past the wrappers around `batch_norm`
    )


def normalized(
    inputs: Tensor,
    training: Any,
    spec: BatchNormSpec,
    geometry: Geometry,
    *,
    batch_weights: Any,
    zero_debias: bool,
    updates_collections: Any,
    variables_collections: Any,
) -> Tensor:
    """Makes the variables, normalizes, and moves the averages or collects the ops that do.

    Args:
      inputs: of any rank.
      training: True, False or a scalar bool tensor.
      spec: as a form has it.
      geometry: likewise; of rank 4 where `inputs` of rank 2 are seen as such.
      batch_weights: `[batch]`, how often each row counts; None for once.
      zero_debias: whether the moving mean is debiased.
      updates_collections: the collections of the updates, None to move before the outputs.
      variables_collections: the collections of the variables, for all or by name.

    Returns:
      A tensor of the shape and dtype of `inputs`.
    """
    if training is not False and nobody_runs():
        check_future_reach(training)
    variables = create_contrib_variables(spec, geometry, variables_collections)
    shadow: Sequence[Variable] = ()
    if training is not False:
        check_reach(variables.moving_mean, training)
        shadow = create_shadow(variables.moving_mean) if zero_debias else ()
    moments_fn, has_weight = None, None
    if batch_weights is not None:
        moments_fn, has_weight = _weighted(batch_weights, geometry, variables)
    plan = Plan(spec, geometry, choose_kernel(spec, geometry, machine()), variables, moments_fn)
    moves = moves_of(plan, shadow, has_weight)

    view = inputs
    if geometry.rank != inputs.shape.ndims:
        view = tf.reshape(inputs, [-1, 1, 1, geometry.input_shape[-1]])
    if updates_collections is None:
        outputs = before_outputs(view, training, plan, moves)
    elif in_place():
        outputs = after_outputs(view, training, plan, moves)
    else:
        outputs = collected_updates(view, training, plan, moves, updates_collections)
    if view is not inputs:
        outputs = tf.reshape(outputs, tf.shape(inputs))
    outputs.set_shape(inputs.shape)
    return outputs


def _weighted(
    batch_weights: Any, geometry: Geometry, variables: BatchNormVariables
) -> tuple[MomentsFn, Tensor | None]:
    """The weighted mean and population variance, or the averages where no row counts.

    Returns:
      The function that finds them; and a scalar bool tensor, whether any row counts, None if some
      row surely does.
    """
    values = tf.cast(tf.convert_to_tensor(batch_weights), geometry.param_dtype)
    known = tf.get_static_value(values)
    any_counts = None
    if known is None or not np.sum(known):
        any_counts = tf.not_equal(tf.reduce_sum(values), 0.0, name="has_weight")
        # Dividing by a sum of 0 would give NaN, and through 0 * NaN in every gradient.
        values = tf.where(any_counts, values, tf.ones_like(values))
    values = tf.reshape(values, [-1] + [1] * (geometry.rank - 1))
    fallback = moving_moments(variables)

    def moments(inputs: Tensor, axes: Sequence[int], keep_dims: bool) -> Moments:
        inputs = tf.cast(inputs, values.dtype)
        found = tf.nn.weighted_moments(inputs, list(axes), values, keep_dims=keep_dims)
        return moments_or(Moments(*found), fallback, any_counts)

    return moments, any_counts
