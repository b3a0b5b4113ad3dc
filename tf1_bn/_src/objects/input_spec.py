# SPDX-License-Identifier: Apache-2.0
"""What a layer demands of its inputs, as the attribute `input_spec` tells and takes it."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ..plan.spec import in_both_words
from ..runtime.tensorflow_v1 import tf


class InputSpec(NamedTuple):
    """The demands on one input; None demands nothing.

    `axes` are the sizes by axis, a None among them is any size.
    """

    dtype: Any = None
    shape: Any = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: Mapping[int, int | None] = {}

    def __repr__(self) -> str:
        given = (
            f"{key}={value}" for key, value in self._asdict().items() if value not in (None, {})
        )
        return f"InputSpec({', '.join(given)})"


def check_is_spec(given: Any) -> None:
    """Raises TypeError unless `given` is None or has the attributes of an `InputSpec`.

    Keras' own class has them as well.
    """
    if given is not None and not all(hasattr(given, field) for field in InputSpec._fields):
        raise in_both_words(
            TypeError,
            f"`input_spec` must be None or have the attributes {list(InputSpec._fields)} (got "
            f"{given!r}).",
            "Layer input_spec must be an instance of InputSpec",
        )


def check_input(spec: Any, inputs: Any, layer_name: str) -> None:
    """Raises ValueError for an input that does not meet `spec`."""
    dims = tf.TensorShape(inputs.shape).dims
    sizes = None if dims is None else tf.TensorShape(dims).as_list()
    for wanted, found in _unmet(spec, sizes, inputs.dtype):
        raise ValueError(
            f"Input 0 of layer {layer_name} is incompatible with the layer: expected {wanted}, "
            f"found {found}. Full shape received: {sizes}"
        )


def _unmet(spec: Any, sizes: Any, dtype: Any) -> Any:
    """Yields each demand that is not met, with what there is."""
    if spec.dtype is not None and tf.as_dtype(dtype).base_dtype != tf.as_dtype(spec.dtype):
        yield f"dtype={spec.dtype}", f"dtype={tf.as_dtype(dtype).name}"
    if sizes is None:
        if any(x is not None for x in (spec.ndim, spec.max_ndim, spec.min_ndim)):
            yield "a known rank", "none"
        return
    rank = len(sizes)
    if spec.ndim is not None and rank != spec.ndim:
        yield f"ndim={spec.ndim}", f"ndim={rank}"
    if spec.max_ndim is not None and rank > spec.max_ndim:
        yield f"max_ndim={spec.max_ndim}", f"ndim={rank}"
    if spec.min_ndim is not None and rank < spec.min_ndim:
        yield f"min_ndim={spec.min_ndim}", f"ndim={rank}"
    for axis, size in (spec.axes or {}).items():
        if size is not None and sizes[int(axis)] not in (size, None):
            yield f"axis {axis} of input shape to have value {size}", f"shape {sizes}"
    if spec.shape is not None and not tf.TensorShape(sizes).is_compatible_with(spec.shape):
        yield f"shape={spec.shape}", f"shape={sizes}"
