# SPDX-License-Identifier: Apache-2.0
"""When the moving statistics move: by update ops that are collected, or with a call's output."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterable, Iterator, Sequence

from ._compat import Operation, Tensor, Variable, tf

MODES = ("collect", "in_place")

# A graph read back elsewhere can be differentiated once this file is imported: the name says so.
_AFTER_UPDATES = "tf1_bn.update_mode.after_updates"
_WAY_OUT = (
    "Build the call under `with tf1_bn.updates('in_place'):`, inside the function given to "
    "tf.cond, tf.while_loop or the like, and its updates run with its output."
)


class _Chosen(threading.local):
    """The mode of each thread; a name, so that no graph is kept alive."""

    mode = "collect"


_chosen = _Chosen()


def updates(mode: str) -> Any:
    """A scope whose training calls have their updates collected, or applied with their output.

    "collect", the default, is TF1's way: two update ops in UPDATE_OPS that something must run.
    TensorFlow refuses to run them from outside of the branch or loop body they were built in.
    With "in_place" whatever needs the output of a call, or a gradient through it, brings the
    updates about, once for each time the call runs; UPDATE_OPS gets nothing, and
    `tf1_bn.minimize` has nothing left to run. A layer that is not trainable has no updates in
    either mode. The moving statistics follow arXiv 1502.03167, algorithm 2.

    The scope holds for the calls built in this thread, whatever the graph. A distribution
    strategy builds each replica in a thread of its own: enter the scope in the replica's function.

    Args:
      mode: "collect" or "in_place".

    Returns:
      A context manager, which also decorates functions. It may be nested: the innermost holds.

    Raises:
      ValueError: `mode` is anything else.
    """
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"`mode` must be one of {list(MODES)} (got {mode!r}).")
    return _scope(mode)


@contextlib.contextmanager
def _scope(mode: str) -> Iterator[None]:
    before, _chosen.mode = _chosen.mode, mode
    try:
        yield
    finally:
        _chosen.mode = before


def in_place() -> bool:
    """Whether calls built now apply their updates with their output."""
    return _chosen.mode == "in_place"


def after_updates(outputs: Tensor, operations: Sequence[Operation]) -> Tensor:
    """`outputs`, which cannot be had, nor a gradient through them, before `operations` have run."""
    if not operations:
        return outputs
    with tf.control_dependencies(list(operations)):
        # No constant: the gradient of a function makes constants anew, and they wait for nothing.
        ran = tf.identity(tf.constant(True), name="updates_ran")
        outputs = tf.identity(outputs, name="updated")
    with tf.get_default_graph().gradient_override_map({"IdentityN": _AFTER_UPDATES}):
        return tf.raw_ops.IdentityN(input=[outputs, ran], name="after_updates")[0]


@tf.RegisterGradient(_AFTER_UPDATES)  # type: ignore[untyped-decorator]
def _after_updates_gradient(op: Operation, *gradients: Tensor) -> list[Any]:
    # A value first: only values get from a loop to that of its gradient. Then a control input,
    # as TensorFlow prunes a value that nothing uses.
    with tf.control_dependencies([tf.identity(op.outputs[1], name="updates_ran")]):
        return [tf.identity(gradients[0]), None]


def check_can_move(variable: Variable) -> None:
    """Raises ValueError where TensorFlow cannot assign `variable`: before a training call.

    That is a ref variable of the graph around a branch or body of control flow v2.
    """
    dtype = getattr(variable, "dtype", None)
    if dtype is None or dtype == dtype.base_dtype or not _in_function():
        return
    raise ValueError(
        f"The statistic {variable.op.name!r} is a ref variable, which a branch or loop body of "
        "control flow v2 cannot update. Make the layer under `tf.variable_scope(..., "
        "use_resource=True)` or call `tf.compat.v1.enable_resource_variables()` at program start, "
        "or keep control flow v1 with `tf.compat.v1.disable_control_flow_v2()`."
    )


def _in_function() -> bool:
    return type(tf.get_default_graph()) is not tf.Graph


def check_can_run(operations: Iterable[Operation], graph: Any) -> None:
    """Raises ValueError if one of these update ops cannot be run from outside control flow.

    Args:
      operations: update ops that are needed.
      graph: the graph they would be run in.
    """
    for operation in operations:
        if operation.graph is not graph or not graph.is_fetchable(operation):
            raise ValueError(
                f"The update op {operation.name!r} was built inside a branch or loop body, and "
                f"nothing outside can run it. {_WAY_OUT}"
            )
