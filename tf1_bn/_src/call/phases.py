# SPDX-License-Identifier: Apache-2.0
"""The two phases of a layer, training and inference, as pure functions of tensors."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ..kernels.affine import Affine, broadcastable
from ..kernels.columns import measure_columns, normalize_columns
from ..kernels.moments import (
    Moments,
    centered_moments,
    ghost_view,
    inverse_count_of,
    mean_over_ghosts,
    moments_or,
)
from ..kernels.renorm import RenormCorrection, renorm_correction
from ..kernels.row_view import as_input, fold_input
from ..kernels.rows import FoldedBatch, folded_inference, folded_moments, folded_training
from ..kernels.whole import (
    Centered,
    affine_of,
    centered_batch_norm,
    composed_batch_norm,
    fused_inference,
    fused_training,
)
from ..plan.geometry import Geometry
from ..plan.kernel_choice import Composed, Rows, Tf1Fused
from ..runtime.tensorflow_v1 import Tensor, may_be_compiled, tf
from .call_plan import Normalized, Plan, State


def train(
    inputs: Tensor, adjustment: Affine | None, filled: Tensor | None, state: State, plan: Plan
) -> Normalized:
    spec, geometry = plan.spec, plan.geometry
    by_op = not isinstance(plan.choice.in_training, Composed)
    if filled is not None and by_op and may_be_compiled(filled.op):
        state = state._replace(learned=_without_nan_gradient(state.learned, filled))
    if isinstance(plan.choice.in_training, Tf1Fused):
        epsilon = plan.choice.contract.epsilon(spec.epsilon)
        way = plan.choice.in_training
        outputs, batch = fused_training(inputs, state.learned, epsilon, geometry, way)
        return Normalized(outputs, moments_or(batch, state.moving, filled))
    inner, outer = _split(adjustment, state.learned, plan)
    run = _kernel(plan)
    if outer is None:
        return run(inputs, inner, filled, state, plan)
    with tf.name_scope("normalized"):
        normalized = run(inputs, inner, filled, state, plan)
    return normalized._replace(outputs=affine_of(normalized.outputs, outer))


def _kernel(plan: Plan) -> Callable[..., Normalized]:
    if plan.moments_fn is None and isinstance(plan.choice.in_training, Rows):
        return _folded_training
    if plan.moments_fn is None and plan.choice.in_training != Composed():
        return _column_training
    return _composed_training


def _without_nan_gradient(affine: Affine, filled: Tensor) -> Affine:
    """The same for a batch that has values; XLA's gradient of the fused op gives others NaN."""
    if affine.scale is None:
        return affine
    scale = tf.where(filled, affine.scale, tf.zeros(affine.scale.shape, affine.scale.dtype))
    return affine._replace(scale=scale)


def _folded_training(
    inputs: Tensor, affine: Affine, filled: Tensor | None, state: State, plan: Plan
) -> Normalized:
    spec, way = plan.spec, plan.choice.in_training
    assert isinstance(way, Rows), "a folded kernel needs its fold"
    fold = way.fold
    batch = FoldedBatch(
        fold_input(inputs, fold, spec.virtual_batch_size),
        fold,
        float(spec.epsilon),
        filled,
        Moments(*_flat(state.moving)) if filled is not None else state.moving,
    )
    affine, correction = Affine(*_flat(affine)), None
    if spec.renorm:
        # The correction takes no gradient, and neither do the moments for it: another run of the
        # op, for the outputs, has the gradient of training, and beats elementary ops.
        correction = _correction(_shaped(folded_moments(batch), plan), state, plan)
        affine = _corrected(affine, correction)
    outputs, moments = folded_training(batch, affine)
    return Normalized(outputs, _shaped(moments, plan), correction)


def _column_training(
    inputs: Tensor, affine: Affine, filled: Tensor | None, state: State, plan: Plan
) -> Normalized:
    """By elementary ops on rows of columns."""
    way = plan.choice.in_training
    assert isinstance(way, Composed) and way.columns is not None, "columns need their fold"
    fold = way.columns
    batch = measure_columns(inputs, fold, plan.geometry.param_dtype)
    moments = moments_or(_shaped(batch.moments, plan), state.moving, filled)
    correction, affine = None, Affine(*_flat(affine))
    if plan.spec.renorm:
        correction = _correction(moments, state, plan)
        affine = _corrected(affine, correction)
    with tf.name_scope("batchnorm"):
        spread = Moments(*(tf.reshape(value, fold.spread) for value in moments))
        rows = normalize_columns(batch, spread, affine, plan.spec.epsilon)
        outputs = as_input(tf.cast(rows, inputs.dtype), inputs, "add_1")
    return Normalized(outputs, moments, correction)


def _composed_training(
    inputs: Tensor, affine: Affine, filled: Tensor | None, state: State, plan: Plan
) -> Normalized:
    """By elementary ops, with a gradient by hand unless the moments come from a subclass."""
    spec, geometry = plan.spec, plan.geometry
    given, ghosts = plan.moments_fn is not None, spec.virtual_batch_size is not None
    dtype = geometry.param_dtype
    seen = inputs if given or inputs.dtype == dtype else tf.cast(inputs, dtype)
    axes: Sequence[int] = geometry.reduction_axes
    keep_dims = len(geometry.channel_axes) > 1
    if spec.virtual_batch_size is not None:
        seen = ghost_view(seen, spec.virtual_batch_size)
        axes, keep_dims = geometry.ghost_reduction_axes, True
    if given:
        moments = _moments(seen, axes, keep_dims, plan)
    else:
        inverse_count = inverse_count_of(seen, axes)
        keep_dims = keep_dims or not _last_axis_alone(geometry)
        centered, moments = centered_moments(seen, axes, inverse_count, keep_dims)
    batch = mean_over_ghosts(moments) if ghosts else _shaped(moments, plan)
    batch = moments_or(batch, state.moving, filled)
    correction = _correction(batch, state, plan) if spec.renorm else None
    if not ghosts:
        affine = _fit(affine, plan)
        if given or filled is not None:
            moments = _fit(batch, plan)
    if correction is not None:
        affine = affine.after(*(correction if ghosts else _fit(correction, plan)))
    if given:
        outputs = composed_batch_norm(seen, moments, affine, spec.epsilon, inputs.dtype)
    else:
        own = Centered(seen, centered, moments.variance, inverse_count)
        outputs = centered_batch_norm(own, affine, spec.epsilon, inputs.dtype)
    return Normalized(_unghosted(outputs, inputs, plan), batch, correction)


def _unghosted(outputs: Tensor, inputs: Tensor, plan: Plan) -> Tensor:
    if plan.spec.virtual_batch_size is None:
        return outputs
    outputs = tf.reshape(outputs, tf.shape(inputs), name="Reshape")
    outputs.set_shape(inputs.shape)
    return outputs


def infer(inputs: Tensor, state: State, plan: Plan) -> Normalized:
    way, moving, affine = plan.choice.in_inference, state.moving, state.learned
    epsilon = plan.choice.contract.epsilon(plan.spec.epsilon)
    if isinstance(way, Tf1Fused):
        outputs = fused_inference(inputs, moving, affine, epsilon, plan.geometry, way)
    elif isinstance(way, Rows):
        outputs = folded_inference(
            fold_input(inputs, way.fold, None),
            way.fold,
            Moments(*_flat(moving)),
            Affine(*_flat(affine)),
            float(epsilon),
        )
    else:
        outputs = composed_batch_norm(
            inputs, _fit(moving, plan), _fit(affine, plan), epsilon, inputs.dtype
        )
    return Normalized(outputs, moving)


def _correction(batch: Moments, state: State, plan: Plan) -> RenormCorrection:
    assert state.renorm is not None, "renorm needs its averages"
    return renorm_correction(batch, *state.renorm, plan.spec.epsilon, plan.spec.clipping)


def _corrected(affine: Affine, correction: RenormCorrection) -> Affine:
    """The transform that first ties the batch to the averages; all are `[channels]`."""
    return affine.after(*_flat(correction))


def _split(adjustment: Affine | None, learned: Affine, plan: Plan) -> tuple[Affine, Affine | None]:
    """What the kernel multiplies and adds for each channel, and what comes after it.

    An adjustment that is not one number for each channel cannot be part of the kernel.
    """
    if adjustment is None:
        return learned, None
    geometry = plan.geometry
    per_channel = [list(geometry.broadcast_shape)]
    if _last_axis_alone(geometry):
        per_channel.append(list(geometry.param_shape))
    if all(_has_shape(value, per_channel) for value in adjustment):
        return learned.after(*_shaped(adjustment, plan)), None
    return Affine(None, None), _fit(learned, plan).after(*adjustment)


def _last_axis_alone(geometry: Geometry) -> bool:
    return geometry.channel_axes == (geometry.rank - 1,)


def _has_shape(value: Any, shapes: list[list[int]]) -> bool:
    return value.shape.ndims is not None and value.shape.as_list() in shapes


def _flat(pair: Any) -> list[Any]:
    """The values of a pair as `[channels]`."""
    return [
        value if value is None or value.shape.ndims == 1 else tf.reshape(value, [-1], name="flat")
        for value in pair
    ]


def _shaped(pair: Any, plan: Plan) -> Any:
    """The values of a pair in the shape of the variables."""
    shape = list(plan.geometry.param_shape)
    return type(pair)(
        *(
            value if value.shape.as_list() == shape else tf.reshape(value, shape, name="shaped")
            for value in pair
        )
    )


def _moments(inputs: Tensor, axes: Any, keep_dims: bool, plan: Plan) -> Moments:
    assert plan.moments_fn is not None, "moments come from a subclass"
    mean, variance = plan.moments_fn(inputs, axes, keep_dims)
    dtype = plan.geometry.param_dtype
    return Moments(tf.cast(mean, dtype), tf.cast(variance, dtype))


def _fit(pair: Any, plan: Plan) -> Any:
    return type(pair)(*(broadcastable(value, plan.geometry) for value in pair))
