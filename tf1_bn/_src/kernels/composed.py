# SPDX-License-Identifier: Apache-2.0
"""Elementary ops on the input as it is, and their gradient by hand.

The gradient takes fewer passes than automatic differentiation does. It is a short cut and no more:
the ops behind it have the same gradient by themselves, for whoever looks past it, such as a
`tf.GradientTape`, which reads no gradient but that of an op's type. It is registered under a name
once, when this file is imported, and made of differentiable ops, so derivatives of any order are
right and no graph is kept alive, as `tf.custom_gradient` would.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from ..runtime.graph_place import in_function
from ..runtime.tensorflow_v1 import Operation, Tensor, register_gradient, scalar, tf
from .batch import Affine, Batch, Measured, add, fitted
from .moments import Moments, centered_moments, inverse_count_of, mean_over_ghosts, sum_like
from .row_view import over_columns, sum_of_columns

# Part of every graph that was ever exported, so they stay as they are.
_NORMALIZE = "tf1_bn.gradient.normalize"
_COLUMNS = "tf1_bn.gradient.columns"
# TensorFlow's error about an op that has no gradient says the op's name.
_OP_NAME = "import_tf1_bn_for_the_gradient"

Sums = Callable[[Tensor], Tensor]


def measure_composed(batch: Batch) -> Measured:
    """By elementary ops, with a gradient by hand; arithmetic in the dtype of the variables.

    Normalized values of an empty batch are empty, and its moments are the fallback's.
    """
    inputs, geometry, ghosts = batch.inputs, batch.geometry, batch.ghost_size is not None
    dtype = geometry.param_dtype
    seen, axes, keep_dims = batch.viewed(
        inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
    )
    inverse_count = inverse_count_of(seen, axes)
    keep_dims = keep_dims or not geometry.channels_last
    centered, own = centered_moments(seen, axes, inverse_count, keep_dims)
    moments = batch.settled(mean_over_ghosts(own) if ghosts else own)
    # The variance of an empty batch is NaN, and so would be the gradient of gamma.
    in_use = own if ghosts or batch.filled is None else fitted(moments, geometry)

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        affine = affine if ghosts else fitted(affine, geometry)
        with tf.name_scope("batchnorm"):
            inverse_stddev, factor = factor_of(in_use.variance, affine, batch.epsilon)
            outputs = centered * factor
            if affine.offset is not None:
                outputs = add(outputs, affine.offset, "sum")
            forward = Seen(seen, centered, None, inverse_stddev, factor, inverse_count)
            outputs = with_gradient(outputs, forward, affine)
            if inputs.dtype == dtype:
                outputs = tf.identity(outputs, name="add_1")
            else:
                outputs = tf.cast(outputs, inputs.dtype, name="add_1")
        return batch.unviewed(outputs), batch.reported(moments, inverse_count)

    return Measured(lambda: moments, normalize)


def measure_given(batch: Batch, seen: Tensor, given: Moments) -> Measured:
    """By elementary ops, with moments from elsewhere, through which gradients flow.

    Args:
      batch: what is normalized.
      seen: the view of it that they were made for.
      given: of the shape of the variables, or for each ghost batch, broadcasting to `seen`.
    """
    ghosts = batch.ghost_size is not None
    moments = batch.settled(mean_over_ghosts(given) if ghosts else given)

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        own = given if ghosts else fitted(moments, batch.geometry)
        affine = affine if ghosts else fitted(affine, batch.geometry)
        outputs = composed_batch_norm(seen, own, affine, batch.epsilon, batch.inputs.dtype)
        return batch.unviewed(outputs), moments

    return Measured(lambda: moments, normalize)


def composed_batch_norm(
    inputs: Tensor, moments: Moments, affine: Affine, epsilon: Any, output_dtype: Any
) -> Tensor:
    """(inputs - mean) / sqrt(variance + epsilon) * scale + offset, named `batchnorm/add_1`.

    Moments and affine broadcast to the inputs. All arithmetic is in the moments' dtype, so half
    precision is rounded once, at the end.
    """
    dtype = moments.mean.dtype
    with tf.name_scope("batchnorm"):
        wide = inputs if inputs.dtype == dtype else tf.cast(inputs, dtype)
        _, factor = factor_of(moments.variance, affine, epsilon)
        shift = moments.mean * factor
        shift = -shift if affine.offset is None else affine.offset - shift
        if output_dtype == dtype:
            return add(wide * factor, shift, "add_1")
        outputs = add(wide * factor, shift, "wide_sum")
        return tf.cast(outputs, output_dtype, name="add_1")


def factor_of(variance: Tensor, affine: Affine, epsilon: Any) -> tuple[Tensor, Tensor]:
    """1 / sqrt(variance + epsilon), and that times the scale; both of the variance's dtype."""
    inverse_stddev = tf.rsqrt(variance + scalar(epsilon, variance.dtype))
    if affine.scale is None:
        return inverse_stddev, inverse_stddev
    return inverse_stddev, inverse_stddev * affine.scale


class Seen(NamedTuple):
    """What the gradient needs of the forward pass; all must be differentiable.

    Attributes:
      inputs: what was normalized.
      centered: the inputs less their mean, if that is kept.
      mean: their mean, where `centered` is not.
      inverse_stddev: 1 / sqrt(variance + epsilon), of the shape of the mean.
      factor: inverse_stddev * scale.
      inverse_count: 1 / the number of values in each mean, in the dtype of the mean.
    """

    inputs: Tensor
    centered: Tensor | None
    mean: Tensor | None
    inverse_stddev: Tensor
    factor: Tensor
    inverse_count: Any


def with_gradient(
    outputs: Tensor, seen: Seen, affine: Affine, columns: Tensor | None = None
) -> Tensor:
    """`outputs`, with the gradient of batch-normalizing `seen.inputs` where `tf.gradients` asks.

    The gradients through mean and variance are part of it. In the body of a function, which may be
    saved and loaded elsewhere, the outputs are returned as they are.

    Args:
      outputs: what was made of `seen` and `affine` by ops that are differentiable themselves.
      seen: statistics that broadcast to the inputs or, with `columns`, to that.
      affine: of the shape of the statistics; either may be None.
      columns: `seen.factor` for each column, where the inputs are `[rows, columns]` and several
        columns belong to each value of the statistics.
    """
    if in_function():
        return outputs
    count = tf.convert_to_tensor(seen.inverse_count, seen.inverse_stddev.dtype.base_dtype)
    parts = [outputs, *seen._replace(inverse_count=count), *affine]
    if columns is not None:
        parts.append(columns)
    # IdentityN takes no None: a scalar is put in place of a missing part.
    parts = [count if part is None else part for part in parts]
    name = _NORMALIZE if columns is None else _COLUMNS
    with tf.get_default_graph().gradient_override_map({"IdentityN": name}):
        return tf.raw_ops.IdentityN(input=parts, name=_OP_NAME)[0]


@register_gradient(_NORMALIZE)
def _normalize_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    _, *parts, scale, offset = op.inputs
    seen = Seen(*parts)

    def sums(values: Tensor) -> Tensor:
        return sum_like(values, seen.inverse_stddev, seen.inputs)

    found = _backward(gradients[0], seen, sums, lambda value: value)
    return _for_inputs(found, seen, scale, offset)


@register_gradient(_COLUMNS)
def _columns_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    _, *parts, scale, offset, columns = op.inputs
    seen = Seen(*parts)

    sizes, spread = columns.shape.as_list(), seen.inverse_stddev.shape.as_list()

    def sums(values: Tensor) -> Tensor:
        return sum_of_columns(values, sizes, spread)

    found = _backward(gradients[0], seen, sums, lambda value: over_columns(value, sizes))
    return [*_for_inputs(found, seen, scale, offset), None]


def _backward(
    upstream: Tensor, seen: Seen, sums: Sums, over: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """factor * (upstream - mean(upstream) - x_hat * mean(upstream * x_hat)), x_hat written out.

    Args:
      upstream: the gradient of the outputs.
      seen: of the forward pass.
      sums: takes the sum over a batch, of the shape of the statistics.
      over: makes of such a value one that broadcasts to the inputs.

    Returns:
      The gradients of inputs, scale and offset, the latter of the shape of the statistics.
    """
    inputs, centered, mean, inverse_stddev, factor, inverse_count = seen
    total = sums(upstream)
    if is_absent(centered):
        # Elementwise passes are what it costs: not centering saves one, for large inputs.
        along = sums(upstream * inputs) - mean * total
    else:
        along = sums(upstream * centered)
    d_scale = along * inverse_stddev
    slope = d_scale * inverse_stddev * inverse_count
    if is_absent(centered):
        shift = (mean * slope - total * inverse_count) * factor
        d_inputs = (upstream - inputs * over(slope)) * over(factor) + over(shift)
    else:
        inner = centered * over(slope) + over(total * inverse_count)
        d_inputs = (upstream - inner) * over(factor)
    return d_inputs, d_scale, total


def _for_inputs(
    found: tuple[Tensor, Tensor, Tensor], seen: Seen, scale: Tensor, offset: Tensor
) -> list[Any]:
    """The gradients in the order of the op's inputs; None for those that only explain others."""
    d_inputs, d_scale, total = found
    return [
        None,
        d_inputs,
        *([None] * 5),
        None if is_absent(scale) else sum_like(d_scale, scale, seen.inverse_stddev),
        None if is_absent(offset) else sum_like(total, offset, seen.inverse_stddev),
    ]


def is_absent(part: Tensor) -> bool:
    """Whether a scalar stands here for what there is none of."""
    return bool(part.shape.ndims == 0)
