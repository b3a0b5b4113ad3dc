# SPDX-License-Identifier: Apache-2.0
"""The value of a tensor that is computed from constants alone, without a session or an op."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .tensorflow_v1 import Operation, Tensor, tf

# TF1 had no bounds; these keep a call quick and small whatever the graph holds.
MOST_OPS = 10_000
MOST_VALUES = 65_536

_Kernel = Callable[..., Any]


def constant_value(tensor: Tensor) -> Any:
    """What `tensor` holds in every run, as an array; None if that is not known beforehand.

    TF 1.15.5 runs any stateless op on constants for this. Here NumPy does what flags are made of:
    logic, comparisons, casts, identities, choices, reductions, arithmetic, shapes and pieces of
    arrays. Feeding a constant changes nothing of what was built from it, as in TF1.
    """
    values: dict[Operation, Any] = {}
    pending = [tensor.op]
    while pending:
        op = pending[-1]
        missing = [source.op for source in op.inputs if source.op not in values]
        if op in values or not missing or op.type in _BY_SHAPE:
            pending.pop()
            if op not in values:
                values[op] = _outputs_of(op, values)
            if values[op] is None:
                return None
        elif op.type in _KERNELS and len(values) + len(pending) < MOST_OPS:
            pending.extend(missing)
        else:
            return None
    return values[tensor.op][tensor.value_index]


def _outputs_of(op: Operation, values: dict[Operation, Any]) -> list[Any] | None:
    """The arrays of an op's outputs; None if it or its size is none that is computed here."""
    sizes = [output.shape.num_elements() for output in op.outputs]
    if any(size is None or size > MOST_VALUES for size in sizes):
        return None
    if op.type == "Const":
        return [np.asarray(tf.make_ndarray(op.get_attr("value")))]
    if op.type in _BY_SHAPE:
        return _by_shape(op)
    if op.type not in _KERNELS:
        return None
    arrays = [values[source.op][source.value_index] for source in op.inputs]
    try:
        # What overflows or divides by 0 is left to the op itself.
        with np.errstate(all="raise"):
            found = _KERNELS[op.type](op, *arrays)
    except (ArithmeticError, ValueError, TypeError, IndexError):
        return None
    found = found if isinstance(found, list) else [found]
    return [
        np.asarray(array).astype(output.dtype.as_numpy_dtype).reshape(output.shape.as_list())
        for array, output in zip(found, op.outputs)
    ]


def _by_shape(op: Operation) -> list[Any] | None:
    """Ops that ask for an input's static shape, whatever the input holds."""
    shape = op.inputs[0].shape
    if shape.ndims is None or not (shape.is_fully_defined() or op.type == "Rank"):
        return None
    asked = {"Rank": shape.ndims, "Shape": shape.as_list(), "Size": shape.num_elements()}
    return [np.asarray(asked[op.type], op.outputs[0].dtype.as_numpy_dtype)]


def _plain(function: Callable[..., Any]) -> _Kernel:
    return lambda op, *arrays: function(*arrays)


def _reduction(function: Callable[..., Any]) -> _Kernel:
    def reduced(op: Operation, array: Any, axes: Any) -> Any:
        along = tuple(int(axis) for axis in axes.ravel())
        return function(array, axis=along, keepdims=op.get_attr("keep_dims"))

    return reduced


def _cast(op: Operation, array: Any) -> Any:
    return array.astype(op.get_attr("DstT").as_numpy_dtype)


def _chosen(op: Operation, condition: Any, if_true: Any, if_false: Any) -> Any:
    # tf.where of TF1 chooses whole rows by a vector, which NumPy does not.
    if op.type == "Select" and condition.ndim and condition.shape != if_true.shape:
        condition = condition.reshape(condition.shape + (1,) * (if_true.ndim - 1))
    return np.where(condition, if_true, if_false)


def _gathered(op: Operation, array: Any, indices: Any, axis: Any) -> Any:
    if op.get_attr("batch_dims") or np.any(indices < 0):
        raise ValueError("not a plain gather")
    return np.take(array, indices, int(axis))


def _sliced(op: Operation, array: Any, begin: Any, end: Any, strides: Any) -> Any:
    def bit(mask: str, axis: int) -> bool:
        return bool(op.get_attr(mask) >> axis & 1)

    picked: list[Any] = []
    for axis, (first, last, step) in enumerate(zip(*(v.tolist() for v in (begin, end, strides)))):
        if bit("ellipsis_mask", axis):
            picked.append(Ellipsis)
        elif bit("new_axis_mask", axis):
            picked.append(None)
        elif bit("shrink_axis_mask", axis):
            picked.append(first)
        else:
            first = None if bit("begin_mask", axis) else first
            picked.append(slice(first, None if bit("end_mask", axis) else last, step))
    return array[tuple(picked)]


def _unpacked(op: Operation, array: Any) -> list[Any]:
    return list(np.moveaxis(array, op.get_attr("axis"), 0))


# What only shapes: `_outputs_of` brings it into the shape of the output.
_AS_IT_IS = (
    "Identity",
    "StopGradient",
    "PreventGradient",
    "Snapshot",
    "EnsureShape",
    "Reshape",
    "Squeeze",
    "ExpandDims",
)
_BY_SHAPE = ("Rank", "Shape", "Size")
_KERNELS: dict[str, _Kernel] = {
    "Const": _plain(lambda: None),
    **{name: _plain(lambda array, *_: array) for name in _AS_IT_IS},
    "IdentityN": _plain(lambda *arrays: list(arrays)),
    "LogicalNot": _plain(np.logical_not),
    "LogicalAnd": _plain(np.logical_and),
    "LogicalOr": _plain(np.logical_or),
    "Equal": _plain(np.equal),
    "NotEqual": _plain(np.not_equal),
    "Less": _plain(np.less),
    "LessEqual": _plain(np.less_equal),
    "Greater": _plain(np.greater),
    "GreaterEqual": _plain(np.greater_equal),
    "IsNan": _plain(np.isnan),
    "IsInf": _plain(np.isinf),
    "IsFinite": _plain(np.isfinite),
    "Cast": _cast,
    "Select": _chosen,
    "SelectV2": _chosen,
    "All": _reduction(np.all),
    "Any": _reduction(np.any),
    "Sum": _reduction(np.sum),
    "Prod": _reduction(np.prod),
    "Min": _reduction(np.min),
    "Max": _reduction(np.max),
    "Add": _plain(np.add),
    "AddV2": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "RealDiv": _plain(np.divide),
    "FloorDiv": _plain(np.floor_divide),
    "FloorMod": _plain(np.mod),
    "Minimum": _plain(np.minimum),
    "Maximum": _plain(np.maximum),
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Fill": _plain(lambda dims, value: np.full(dims.tolist(), value)),
    "ZerosLike": _plain(np.zeros_like),
    "OnesLike": _plain(np.ones_like),
    "Range": _plain(np.arange),
    "Pack": lambda op, *arrays: np.stack(arrays, op.get_attr("axis")),
    "Unpack": _unpacked,
    "ConcatV2": _plain(lambda *arrays: np.concatenate(arrays[:-1], int(arrays[-1]))),
    "GatherV2": _gathered,
    "StridedSlice": _sliced,
}
