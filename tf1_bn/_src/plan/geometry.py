# SPDX-License-Identifier: Apache-2.0
"""What a spec means for one input: axes and shapes as plain integers, no TensorFlow."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from .spec import BatchNormSpec, in_both_words

FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
HALF_DTYPES = ("float16", "bfloat16")

Dims = Sequence[Any]


class Geometry(NamedTuple):
    """Axes and shapes of one layer; unknown sizes are None.

    With ghost batches the input of shape `[V * G, ...]` is seen as `[V, G, ...]`: ghost batch g
    holds the rows g, G + g, 2 * G + g, ... (interleaved, not consecutive).

    Attributes:
      input_shape: of the input.
      dtype: its name, such as "float32".
      param_dtype: that of the variables, never half precision.
      channel_axes: counted from the front.
      reduction_axes: all others.
      param_shape: what the variables have.
      broadcast_shape: what arithmetic on the input needs: the rank of the input, with the channel
        sizes on `channel_axes` and 1 elsewhere.
      ghost_reduction_axes: of the view as ghost batches; empty without them.
    """

    input_shape: tuple[int | None, ...]
    dtype: str
    param_dtype: str
    channel_axes: tuple[int, ...]
    reduction_axes: tuple[int, ...]
    param_shape: tuple[int, ...]
    broadcast_shape: tuple[int, ...]
    ghost_reduction_axes: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.input_shape)

    @property
    def channels_last(self) -> bool:
        """Whether the last axis alone holds channels, so that `[channels]` broadcasts."""
        return self.channel_axes == (self.rank - 1,)

    @property
    def static_count(self) -> int | None:
        """How many values go into one batch moment, None if not known before the run.

        >>> geometry_of(BatchNormSpec(), (8, 4, 3), "float32").static_count
        32
        """
        count = 1
        for axis in self.reduction_axes:
            size = self.input_shape[axis]
            if size is None:
                return None
            count *= size
        return count

    def elements(self, batch: int, size: int) -> int:
        """How many values the input has, if axes of unknown size have these.

        >>> geometry_of(BatchNormSpec(), (None, 4, 3), "float32").elements(batch=256, size=32)
        3072
        """
        count = 1
        for axis, known in enumerate(self.input_shape):
            assumed = size if axis else batch
            count *= assumed if known is None else known
        return count

    def counted(self, size: int) -> str:
        """`size` values in words, which say if it is known."""
        return f"{size} {'elements assumed' if None in self.input_shape else 'elements'}"


def geometry_of(
    spec: BatchNormSpec, shape: Dims | None, dtype: str, layer_dtype: str | None = None
) -> Geometry:
    """Resolves the axes of `spec` for an input of static `shape` (None for an unknown rank).

    Parameters and statistics have the dtype of the layer, of the input where the layer has none,
    and float32 instead of a half-precision type.

    Raises:
      TypeError: `dtype` is no floating-point type.
      ValueError: the rank or a channel size is unknown, or `axis` or `virtual_batch_size` does not
        fit the shape.

    >>> geometry = geometry_of(BatchNormSpec(axis=1), (8, 3, 4, 5), "float16")
    >>> geometry.reduction_axes, geometry.param_shape, geometry.param_dtype
    ((0, 2, 3), (3,), 'float32')
    """
    if dtype not in FLOAT_DTYPES:
        raise TypeError(f"`inputs` must have a dtype in {list(FLOAT_DTYPES)} (got {dtype}).")
    if not shape:
        found = "unknown" if shape is None else list(shape)
        raise in_both_words(
            ValueError,
            f"`inputs` must have a known rank of at least 1 (got shape {found}).",
            "Input has undefined rank",
        )
    param_dtype = layer_dtype or dtype
    sizes = tuple(None if size is None else int(size) for size in shape)
    channel_axes = _resolve_axes(spec.axes, sizes)
    rank = len(sizes)
    channels = {axis: _channel_size(axis, sizes) for axis in channel_axes}
    broadcast_shape = tuple(channels.get(axis, 1) for axis in range(rank))
    reduction_axes = tuple(axis for axis in range(rank) if axis not in channels)
    ghost = spec.virtual_batch_size is not None
    if ghost:
        if 0 in channels:
            raise in_both_words(
                ValueError,
                f"`axis` must leave out the batch axis (got {spec.axis!r}).",
                "When using virtual_batch_size, the batch dimension must be 0 and thus axis "
                "cannot include 0",
            )
        param_shape = broadcast_shape[:1] + (1,) + broadcast_shape[1:]
    elif len(channel_axes) == 1:
        param_shape = (channels[channel_axes[0]],)
    else:
        param_shape = broadcast_shape
    return Geometry(
        input_shape=sizes,
        dtype=dtype,
        param_dtype="float32" if param_dtype in HALF_DTYPES else param_dtype,
        channel_axes=channel_axes,
        reduction_axes=reduction_axes,
        param_shape=param_shape,
        broadcast_shape=broadcast_shape,
        ghost_reduction_axes=(0,) + tuple(a + 1 for a in reduction_axes if a > 0) if ghost else (),
    )


def check_ghost_batches(spec: BatchNormSpec, geometry: Geometry) -> None:
    """Raises ValueError if a batch size known beforehand cannot be split into ghost batches."""
    size, batch = spec.virtual_batch_size, geometry.input_shape[0]
    if size is not None and batch is not None and batch % size:
        raise ValueError(
            f"`virtual_batch_size` must divide the batch size {batch} of `inputs` (got {size})."
        )


def check_same_layer(built: Geometry, new: Geometry, layer_name: str) -> None:
    """Raises ValueError if an input does not fit the variables a layer already has."""
    phrase = f"Input 0 of layer {layer_name} is incompatible with the layer: expected"
    got = f"(got shape {list(new.input_shape)})."
    if new.rank != built.rank:
        raise in_both_words(
            ValueError,
            f"`inputs` must have the rank of the first call {got}",
            f"{phrase} ndim={built.rank}, found ndim={new.rank}",
        )
    for axis in built.channel_axes:
        expected, found = built.input_shape[axis], new.input_shape[axis]
        if expected != found:
            raise in_both_words(
                ValueError,
                f"`inputs` must have size {expected} on axis {axis}, not {found} {got}",
                f"{phrase} axis {axis} of input shape to have value {expected}",
            )


def _resolve_axes(axes: Sequence[int], sizes: Sequence[int | None]) -> tuple[int, ...]:
    rank = len(sizes)
    resolved = []
    for axis in axes:
        positive = axis + rank if axis < 0 else axis
        if not 0 <= positive < rank:
            raise in_both_words(
                ValueError,
                f"`axis` must lie in [{-rank}, {rank}) for `inputs` of shape {list(sizes)} "
                f"(got {axis}).",
                f"Invalid axis: {axis}",
            )
        resolved.append(positive)
    if len(set(resolved)) < len(resolved):
        raise in_both_words(
            ValueError,
            f"`axis` must not name an axis twice (got {list(axes)}).",
            f"Duplicate axis: {resolved}",
        )
    return tuple(resolved)


def _channel_size(axis: int, sizes: Sequence[int | None]) -> int:
    size = sizes[axis]
    if size is None:
        raise in_both_words(
            ValueError,
            f"`inputs` must have a known size on axis {axis} (got shape {list(sizes)}).",
            "Input has undefined `axis` dimension",
        )
    return size
