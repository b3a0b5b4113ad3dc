# SPDX-License-Identifier: Apache-2.0
"""The normalizing kernels: the fused op, and its composition from elementary ops."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from ._compat import Tensor, scalar, tf
from .affine import Affine
from .folding import Folded
from .geometry import Geometry
from .gradient import Seen, differentiable_moments, with_gradient
from .kernel_choice import FUSED_MIN_EPSILON, KernelChoice
from .moments import Moments, inverse_count_of, moments_or


class FusedResult(NamedTuple):
    """What a fused kernel gives in training.

    The variance of TF 1.15's fused kernel is the sample variance, N / (N - 1), that of folded
    inputs the population variance.
    """

    outputs: Any
    moments: Moments


class Centered(NamedTuple):
    """A batch less its own mean, as the composed kernel of training takes it.

    Attributes:
      inputs: the batch, in the dtype of the arithmetic.
      centered: the batch less its mean.
      variance: broadcasting to it.
      inverse_count: 1 / the number of values in each moment.
    """

    inputs: Tensor
    centered: Tensor
    variance: Tensor
    inverse_count: Any


def centered_batch_norm(batch: Centered, affine: Affine, epsilon: Any, output_dtype: Any) -> Tensor:
    """centered / sqrt(variance + epsilon) * scale + offset, with its gradient by hand.

    Named `batchnorm/add_1`. Half precision is rounded once, at the end.
    """
    dtype = batch.centered.dtype
    with tf.name_scope("batchnorm"):
        inverse_stddev, factor = _factor(batch.variance, affine, epsilon)
        outputs = batch.centered * factor
        if affine.offset is not None:
            outputs = _add(outputs, affine.offset, "sum")
        name = "add_1" if output_dtype == dtype else "wide_sum"
        seen = Seen(batch.inputs, batch.centered, None, inverse_stddev, factor, batch.inverse_count)
        outputs = with_gradient(outputs, seen, affine, name)
        return outputs if output_dtype == dtype else tf.cast(outputs, output_dtype, name="add_1")


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
        _, factor = _factor(moments.variance, affine, epsilon)
        shift = moments.mean * factor
        shift = -shift if affine.offset is None else affine.offset - shift
        if output_dtype == dtype:
            return _add(wide * factor, shift, "add_1")
        outputs = _add(wide * factor, shift, "wide_sum")
        return tf.cast(outputs, output_dtype, name="add_1")


def _factor(variance: Tensor, affine: Affine, epsilon: Any) -> tuple[Tensor, Tensor]:
    inverse_stddev = tf.rsqrt(variance + scalar(epsilon, variance.dtype))
    if affine.scale is None:
        return inverse_stddev, inverse_stddev
    return inverse_stddev, inverse_stddev * affine.scale


def affine_of(outputs: Tensor, affine: Affine) -> Tensor:
    """outputs * scale + offset, named `batchnorm/add_1`; arithmetic in the dtype of the affine."""
    dtype = outputs.dtype
    with tf.name_scope("batchnorm"):
        wide = outputs
        if affine.scale is not None:
            wide = tf.cast(wide, affine.scale.dtype) * affine.scale
        if affine.offset is not None:
            wide = tf.cast(wide, affine.offset.dtype)
            wide = _add(wide, affine.offset, "add_1" if wide.dtype == dtype else "wide_sum")
        return wide if wide.dtype == dtype else tf.cast(wide, dtype, name="add_1")


def _add(x: Tensor, y: Tensor, name: str) -> Tensor:
    # On TF 1.15 `tf.add` is another op than `+`, which takes no name.
    return tf.raw_ops.AddV2(x=x, y=y, name=name)


def folded_training(
    folded: Folded,
    affine: Affine,
    epsilon: float,
    channels: int,
    by_hand: bool,
    filled: Tensor | None,
    fallback: Moments,
    only_moments: bool = False,
) -> FusedResult:
    """Normalizes folded rows with their moments; the moments are `[channels]`, of all ghosts.

    Args:
      folded: the input.
      affine: scale and offset, `[channels]` each or None.
      epsilon: added to the variance.
      channels: how many there are.
      by_hand: leave out the op's own gradient.
      filled: None, or False for an empty batch, whose moments are `fallback`.
      fallback: `[channels]` each.
      only_moments: leave out the outputs.
    """
    with tf.name_scope("fold"):
        scale, offset = (_repeated(value, folded.ghosts) for value in _complete(affine, channels))
        outputs, means, variances = [], [], []
        for rows in folded.rows:
            inverse_count = inverse_count_of(rows, (0, 1, 2))
            result = _fused_op(rows, Affine(scale, offset), _no_moments(), epsilon)
            # The op gives the sample variance.
            variance = result.batch_variance * (1.0 - inverse_count)
            batch = Moments(result.batch_mean, variance)
            if by_hand and not only_moments:
                batch = moments_or(batch, fallback, filled)
                batch = differentiable_moments(batch, rows, inverse_count)
                outputs.append(
                    _by_hand(result.y, rows, batch, Affine(scale, offset), epsilon, inverse_count)
                )
            else:
                outputs.append(result.y)
            means.append(batch.mean)
            variances.append(batch.variance)
        repeated = tf.is_tensor(folded.ghosts) or folded.ghosts != 1
        moments = Moments(*(_over_ghosts(each, channels, repeated) for each in (means, variances)))
        moments = moments_or(moments, fallback, filled)
    if only_moments:
        return FusedResult(None, moments)
    with tf.name_scope("batchnorm"):
        return FusedResult(folded.unfold(outputs, "add_1"), moments)


def _by_hand(
    normalized: Tensor,
    rows: Tensor,
    batch: Moments,
    affine: Affine,
    epsilon: float,
    inverse_count: Any,
) -> Tensor:
    inverse_stddev, factor = _factor(batch.variance, affine, epsilon)
    seen = Seen(rows, None, batch.mean, inverse_stddev, factor, inverse_count)
    return with_gradient(normalized, seen, affine, "normalized")


def folded_inference(
    folded: Folded, moments: Moments, affine: Affine, epsilon: float, channels: int
) -> Tensor:
    """Normalizes folded rows with given moments, `[channels]` each."""
    with tf.name_scope("fold"):
        affine = _complete(affine, channels)
        result = _fused_op(folded.rows[0], affine, moments, epsilon, is_training=False)
    with tf.name_scope("batchnorm"):
        return folded.unfold([result.y], "add_1")


def _over_ghosts(values: Sequence[Tensor], channels: int, repeated: bool) -> Tensor:
    if len(values) > 1:
        return tf.add_n(list(values)) / float(len(values))
    if repeated:
        return tf.reduce_mean(tf.reshape(values[0], [-1, channels], name="ghosts"), 0)
    return values[0]


def _repeated(value: Tensor, ghosts: Any) -> Tensor:
    return value if not tf.is_tensor(ghosts) and ghosts == 1 else tf.tile(value, [ghosts])


def fused_training(
    inputs: Tensor, affine: Affine, epsilon: Any, geometry: Geometry, choice: KernelChoice
) -> FusedResult:
    """TF 1.15's fused kernel: normalizes with the batch's moments in one op and returns both."""
    outputs, moments = _tf1_fused(
        inputs, affine, _no_moments(), epsilon, geometry, choice, is_training=True
    )
    return FusedResult(outputs, moments)


def fused_inference(
    inputs: Tensor,
    moments: Moments,
    affine: Affine,
    epsilon: Any,
    geometry: Geometry,
    choice: KernelChoice,
) -> Tensor:
    """TF 1.15's fused kernel with given moments."""
    return _tf1_fused(inputs, affine, moments, epsilon, geometry, choice, is_training=False)[0]


def _tf1_fused(
    inputs: Tensor,
    affine: Affine,
    moments: Moments,
    epsilon: Any,
    geometry: Geometry,
    choice: KernelChoice,
    is_training: bool,
) -> tuple[Tensor, Moments]:
    name = "FusedBatchNormV3"
    result = _fused_op(
        _to_nhwc(inputs) if choice.transposed else inputs,
        _complete(affine, geometry.param_shape[0]),
        moments,
        max(float(epsilon), FUSED_MIN_EPSILON),
        is_training,
        choice.data_format,
        f"nhwc/{name}" if choice.transposed else name,
    )
    outputs = _to_nchw(result.y, name) if choice.transposed else result.y
    return outputs, Moments(result.batch_mean, result.batch_variance)


def _fused_op(
    rows: Tensor,
    affine: Affine,
    moments: Moments,
    epsilon: float,
    is_training: bool = True,
    data_format: str = "NHWC",
    name: str = "FusedBatchNormV3",
) -> Any:
    return tf.raw_ops.FusedBatchNormV3(
        x=rows,
        scale=affine.scale,
        offset=affine.offset,
        mean=moments.mean,
        variance=moments.variance,
        epsilon=float(epsilon),
        data_format=data_format,
        is_training=is_training,
        name=name,
    )


def _complete(affine: Affine, channels: int) -> Affine:
    return Affine(
        tf.ones([channels]) if affine.scale is None else affine.scale,
        tf.zeros([channels]) if affine.offset is None else affine.offset,
    )


def _no_moments() -> Moments:
    empty = tf.constant([], tf.float32)
    return Moments(empty, empty)


def _to_nhwc(inputs: Tensor) -> Tensor:
    return tf.transpose(inputs, [0, 2, 3, 1], name="to_nhwc")


def _to_nchw(outputs: Tensor, name: str) -> Tensor:
    return tf.transpose(outputs, [0, 3, 1, 2], name=name)
