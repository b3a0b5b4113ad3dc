# SPDX-License-Identifier: Apache-2.0
"""Every question about the TensorFlow that runs, and the one place that imports it."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, TypeVar

from ..plan.spec import is_number

try:
    import tensorflow.compat.v1 as tf
except ModuleNotFoundError as error:
    # One that is there and broken tells its own cause.
    if error.name not in ("tensorflow", "tensorflow.compat", "tensorflow.compat.v1"):
        raise
    raise ImportError(
        "tf1_bn needs TensorFlow 1.15 or later: install it with "
        "`pip install 'tf1_bn[tensorflow]'` or beside tf1_bn as your platform needs it."
    ) from error

_Function = TypeVar("_Function", bound=Callable[..., Any])

Tensor = Any
Variable = Any
Operation = Any

EAGER_MESSAGE = (
    "{caller} builds graph and cannot run under eager execution. Call it inside "
    "`with tf.Graph().as_default():`, call `tf.compat.v1.disable_eager_execution()` at program "
    "start, or put it into a function given to `tf.compat.v1.wrap_function`."
)


def as_written(function: _Function) -> _Function:
    """Keeps `tf.function` from rewriting this package's own Python, which TF 1.15 does wrongly."""
    return tf.autograph.experimental.do_not_convert(function)  # type: ignore[no-any-return]


def register_gradient(name: str) -> Callable[[_Function], _Function]:
    """Puts a gradient into TensorFlow's registry, which keeps it for good; a reload leaves it."""

    def register(function: _Function) -> _Function:
        with contextlib.suppress(KeyError):
            tf.RegisterGradient(name)(function)
        return function

    return register


def tf_version() -> tuple[int, int]:
    """The running TensorFlow's major and minor version."""
    major, minor = tf.__version__.split(".")[:2]
    return int(major), int(minor)


def raise_if_eager(caller: str) -> None:
    """Raises ValueError under eager execution, before anything is created."""
    if tf.executing_eagerly():
        raise ValueError(EAGER_MESSAGE.format(caller=caller))


def in_tf_function() -> bool:
    """Whether graph is built for a `tf.function`, whose maker alone knows if XLA compiles it."""
    graph = tf.get_default_graph()
    while graph is not None and type(graph) is not tf.Graph:
        # The graphs of `tf.cond` and `tf.while_loop` are of other types, `wrap_function` has names.
        if type(graph).__name__ == "FuncGraph" and not graph.name.startswith("wrapped_function"):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def may_be_compiled(op: Operation) -> bool:
    """Whether XLA may compile the place of `op`: a jit scope, a rewritten body, a `tf.function`."""
    if in_tf_function():
        return True
    attributes = op.node_def.attr
    return "_XlaCompile" in attributes or "_xla_compile_id" in attributes


def loses_sizes_in_cond() -> bool:
    """Whether XLA may have to compile a conditional of control flow v2, whose sizes it forgets."""
    return in_tf_function() or (
        tf.control_flow_v2_enabled() and may_be_compiled(tf.no_op(name="compiled"))
    )


def loses_gradient_in_cond(dtype: Any) -> bool:
    """Whether `tf.cond` cuts the gradient of tensors of `dtype`: TF1 does so with bfloat16."""
    return bool(tf.as_dtype(dtype) == tf.bfloat16) and tf_version() < (2, 0)


def scalar(value: Any, dtype: Any) -> Any:
    """`value` ready for arithmetic with tensors of `dtype`; a number keeps its full precision."""
    return float(value) if is_number(value) else tf.cast(value, dtype)


def is_variable(value: Any) -> bool:
    """Whether `value` can be assigned, as ref and resource variables can, of whatever class."""
    # Asked of the class: a strategy's variable makes an op of its initializer where it is read.
    return all(hasattr(type(value), name) for name in ("assign", "initializer"))


def op_of(value: Any) -> Operation:
    """The op behind a tensor, a variable or what an assignment returned; an op is its own."""
    return value if isinstance(value, tf.Operation) else value.op
