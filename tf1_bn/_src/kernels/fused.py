# SPDX-License-Identifier: Apache-2.0
"""The fused op: on images, as TF 1.15 has it, and on inputs of any rank, seen as rows."""

from __future__ import annotations

from typing import Any, Sequence

from ..plan.row_layout import Fold
from ..plan.ways import Tf1Fused
from ..runtime.tensorflow_v1 import Tensor, tf
from .batch import Batch, Measured, inverse_count_of
from .moments import Affine, Moments, flat
from .row_view import from_rows, layout_of, over_columns, to_rows

_NAME = "FusedBatchNormV3"


def measure_images(batch: Batch, way: Tf1Fused) -> Measured:
    """By one op on `[N, H, W, C]` or `[N, C, H, W]`, with the op's gradient.

    The variance is that of the sample, N / (N - 1) of the population's.
    """

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        outputs, moments = _on_images(batch.inputs, affine, _no_moments(), batch.epsilon, way)
        return outputs, batch.settled(moments)

    return Measured(lambda: normalize(Affine(None, None))[1], normalize)


def infer_images(
    inputs: Tensor, moments: Moments, affine: Affine, epsilon: float, way: Tf1Fused
) -> Tensor:
    """Images normalized with given moments, `[channels]` each."""
    return _on_images(inputs, affine, moments, epsilon, way, is_training=False)[0]


def _on_images(
    inputs: Tensor,
    affine: Affine,
    moments: Moments,
    epsilon: float,
    way: Tf1Fused,
    is_training: bool = True,
) -> tuple[Tensor, Moments]:
    rows, name, channels_last = inputs, _NAME, way.transposed or way.data_format == "NHWC"
    if way.transposed:
        rows, name = tf.transpose(inputs, [0, 2, 3, 1], name="to_nhwc"), f"nhwc/{_NAME}"
    affine = with_ones_and_zeros(affine, rows.shape.as_list()[3 if channels_last else 1])
    result = fused_op(rows, affine, moments, epsilon, is_training, way.data_format, name)
    outputs = tf.transpose(result.y, [0, 3, 1, 2], name=_NAME) if way.transposed else result.y
    return outputs, Moments(result.batch_mean, result.batch_variance)


def measure_rows(batch: Batch, fold: Fold) -> Measured:
    """By the op on rows of channels, with its gradient and the population's variance.

    The op finds moments and outputs at once, so asking for the moments alone costs one more; that
    still beats elementary ops.
    """
    with tf.name_scope("fold"):
        layout = layout_of(batch.inputs, fold, batch.ghost_size)
        rows = to_rows(batch.inputs, layout)
    is_repeated = bool(tf.is_tensor(layout.ghosts) or layout.ghosts != 1)

    def run(affine: Affine) -> tuple[list[Tensor], Moments]:
        with tf.name_scope("fold"):
            affine = with_ones_and_zeros(affine, fold.channels)
            if is_repeated:
                affine = Affine(*(tf.tile(value, [layout.ghosts]) for value in affine))
            ops = [fused_op(each, affine, _no_moments(), batch.epsilon) for each in rows]
            found = [_population_moments(op, each) for op, each in zip(ops, rows)]
            moments = Moments(
                *(_mean_of_ghosts(values, fold, is_repeated) for values in zip(*found))
            )
        return [op.y for op in ops], batch.settled(moments)

    def normalize(affine: Affine) -> tuple[Tensor, Moments]:
        outputs, moments = run(flat(affine))
        with tf.name_scope("batchnorm"):
            return from_rows(outputs, layout, batch.inputs), moments

    return Measured(lambda: run(Affine(None, None))[1], normalize)


def infer_rows(
    inputs: Tensor, moments: Moments, affine: Affine, epsilon: float, fold: Fold
) -> Tensor:
    """Rows of channels or of columns normalized with given moments of the variables' shape."""
    moments, affine = flat(moments), flat(affine)
    with tf.name_scope("fold"):
        layout = layout_of(inputs, fold, None)
        (rows,) = to_rows(inputs, layout)
        affine = with_ones_and_zeros(affine, fold.channels)
        if fold.columns:
            moments = Moments(*(_over_columns(value, fold) for value in moments))
            affine = Affine(*(_over_columns(value, fold) for value in affine))
        outputs = fused_op(rows, affine, moments, epsilon, is_training=False).y
    with tf.name_scope("batchnorm"):
        return from_rows([outputs], layout, inputs)


def _over_columns(value: Tensor, fold: Fold) -> Tensor:
    return over_columns(tf.reshape(value, fold.spread), fold.columns)


def _population_moments(op: Any, rows: Tensor) -> Moments:
    # The op gives the sample variance.
    population = 1.0 - inverse_count_of(rows, (0, 1, 2))
    return Moments(op.batch_mean, op.batch_variance * population)


def _mean_of_ghosts(values: Sequence[Tensor], fold: Fold, is_repeated: bool) -> Tensor:
    """The mean over all ghost batches, `[channels]`; `values` are one of each tensor of rows."""
    if len(values) > 1:
        return tf.add_n(list(values)) / float(len(values))
    if is_repeated:
        each = tf.reshape(values[0], [-1, fold.channels], name="ghosts")
        return tf.reduce_mean(each, 0)
    return values[0]


def fused_op(
    rows: Tensor,
    affine: Affine,
    moments: Moments,
    epsilon: float,
    is_training: bool = True,
    data_format: str = "NHWC",
    name: str = _NAME,
) -> Any:
    """FusedBatchNormV3 on `rows` of rank 4; in training `moments` are empty.

    Returns:
      The op's outputs by name: `y`, `batch_mean`, `batch_variance` and what its gradient needs.
    """
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


def with_ones_and_zeros(affine: Affine, channels: int) -> Affine:
    """`affine` with `[channels]` ones for an absent scale and zeros for an absent offset."""
    return Affine(
        tf.ones([channels]) if affine.scale is None else affine.scale,
        tf.zeros([channels]) if affine.offset is None else affine.offset,
    )


def _no_moments() -> Moments:
    empty = tf.constant([], tf.float32)
    return Moments(empty, empty)
