# SPDX-License-Identifier: Apache-2.0
"""The one place that imports TensorFlow, and what this one and its machine can do."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
from typing import Any, Callable, Iterator, TypeVar

from ..plan.costs import Machine
from ..plan.spec import is_number

try:
    import tensorflow.compat.v1 as tf
except ModuleNotFoundError as error:
    # One that is there and broken tells its own cause.
    if error.name not in ("tensorflow", "tensorflow.compat", "tensorflow.compat.v1"):
        raise
    found = sys.modules.get("tensorflow")
    where = getattr(found, "__file__", None) or list(getattr(found, "__path__", [])) or found
    problem = (
        "there is none here: install the TensorFlow you use, for example by "
        "`pip install tensorflow`"
        if error.name == "tensorflow"
        else f"something older, or of the same name, stands in its place: {where}"
    )
    raise ImportError(f"tf1_bn needs TensorFlow 1.15 or later, and {problem}.") from error

_Function = TypeVar("_Function", bound=Callable[..., Any])

Tensor = Any
Variable = Any
Operation = Any

# From this release on the CPU's FusedBatchNorm runs NCHW; before, only a GPU's does.
_NCHW_ON_CPU_SINCE = (2, 3)
# With oneDNN its gradient is quick: an option first, then the default of Linux on x86.
_ONEDNN_SINCE = (2, 5)
_ONEDNN_BY_DEFAULT_SINCE = (2, 9)

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


_in_force: list[Machine] = []


def machine() -> Machine:
    """The machine that kernels are chosen for: this one, or what `as_on` puts in its place."""
    return _in_force[-1] if _in_force else _this_machine()


@contextlib.contextmanager
def as_on(other: Machine) -> Iterator[None]:
    """Inside, in every thread, kernels are chosen as on `other`; for tests and benchmarks."""
    _in_force.append(other)
    try:
        yield
    finally:
        _in_force.pop()


@functools.lru_cache(maxsize=None)
def _this_machine() -> Machine:
    version = tf_version()
    gpu = bool(tf.config.experimental.list_physical_devices("GPU"))
    return Machine(
        nchw_runs=gpu or version >= _NCHW_ON_CPU_SINCE,
        quick=gpu or _has_onednn(version),
        no_channels=version >= (2, 0),
        float16_row=version >= (2, 0),
        vectors=not gpu and _has_onednn(version),
    )


def _has_onednn(version: tuple[int, int]) -> bool:
    wish = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower()
    if wish:
        return wish in ("1", "true") and version >= _ONEDNN_SINCE
    by_default = platform.machine().lower() in ("x86_64", "amd64") and os.name == "posix"
    return by_default and sys.platform != "darwin" and version >= _ONEDNN_BY_DEFAULT_SINCE


def raise_if_eager(caller: str) -> None:
    """Raises ValueError under eager execution, before anything is created."""
    if tf.executing_eagerly():
        raise ValueError(EAGER_MESSAGE.format(caller=caller))


def is_of_tensorflow(error: BaseException) -> bool:
    """Whether TensorFlow or this package raised it, and no function of the user's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raiser = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return str(raiser).startswith(("tensorflow", "tf1_bn"))


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


def is_ref(variable: Variable) -> bool:
    """Whether it is a ref variable, TF1's default, which only ops of its own graph can assign."""
    dtype = getattr(variable, "dtype", None)
    return dtype is not None and bool(dtype != dtype.base_dtype)


def op_of(value: Any) -> Operation:
    """The op behind a tensor, a variable or what an assignment returned; an op is its own."""
    return value if isinstance(value, tf.Operation) else value.op
