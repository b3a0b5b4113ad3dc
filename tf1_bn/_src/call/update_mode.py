# SPDX-License-Identifier: Apache-2.0
"""Who runs the updates of the moving statistics: what the program collects, or the outputs."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Sequence

from ..runtime.graph_place import in_function
from ..runtime.open_scopes import OpenScopes
from ..runtime.tensorflow_v1 import Operation, Tensor, register_gradient, tf

UPDATE_MODES = ("collect", "in_place")

# Part of every graph that was ever exported, so it stays as it is.
_IN_PLACE = "tf1_bn.update_mode.in_place"
_MOVED = "moved"

_scopes = OpenScopes()


@contextlib.contextmanager
def updates(mode: str) -> Iterator[None]:
    """Inside, says how the layers that are called for training get their averages moved.

    With "collect" the update ops go to `tf.GraphKeys.UPDATE_OPS` and something must run them: what
    TF1 does, and what holds outside of any such scope. With "in_place" the outputs, and the
    gradients through them, can only be had after the averages have moved; no update ops are
    collected, and `layer.updates` gets none. That is the way where no op from outside can run the
    updates: in the branches of `tf.cond`, in `tf.while_loop`, `tf.map_fn` and the cells of
    `tf.nn.dynamic_rnn`.

    In place, every run that needs the outputs for training moves the averages, an evaluation of the
    training loss included, and a loop moves them once an iteration. An iteration starts from what
    the one before left if its inputs depend on the other's outputs, as in a recurrent cell; give
    the others `parallel_iterations=1`, or steps of the average can start from the same old value.

    The layers are those of `tf1_bn.batch_normalization`, `tf1_bn.BatchNormalization` and
    `tf1_bn.contrib.batch_norm`. One that is not `trainable` moves nothing in either mode.

    Args:
      mode: "collect" or "in_place".

    Raises:
      ValueError: `mode` is none of these.
    """
    if mode not in UPDATE_MODES:
        raise ValueError(f"`mode` must be one of {list(UPDATE_MODES)} (got {mode!r}).")
    with _scopes.opened(mode):
        yield


def open_mode() -> Any:
    """The mode of the scope around the running code; None outside of any."""
    return _scopes.innermost()


def in_place() -> bool:
    """Whether calls move the averages with their outputs."""
    return bool(open_mode() == "in_place")


def inheriting_mode(mode: Any) -> Any:
    """A context that gives this thread the mode its starter was in."""
    return _scopes.inheriting(mode)


def after_updates(outputs: Tensor, moves: Sequence[Operation], mean: Tensor) -> Tensor:
    """`outputs`, to be had only when `moves` have run; the same holds of the gradient through them.

    Without the gradient's part, a train op whose loss is linear in the outputs would run nothing of
    them, and the averages would stay. The gradient waits for `tf.negative(mean)`: only tensors
    reach the gradient of a loop, and TensorFlow skips identities and constants.

    Args:
      outputs: of any shape.
      moves: the ops that move the averages.
      mean: of the batch, of the shape of the parameters.

    Returns:
      A tensor of the shape and dtype of `outputs`.
    """
    with tf.name_scope("in_place"):
        with tf.control_dependencies(moves):
            moved = tf.negative(mean, name=_MOVED)
        with tf.control_dependencies([moved]):
            if in_function():
                # What is saved with a function must have no gradient of ours.
                return tf.identity(outputs)
            with tf.get_default_graph().gradient_override_map({"Identity": _IN_PLACE}):
                return tf.identity(outputs)


@register_gradient(_IN_PLACE)
def _gradient_after_updates(op: Operation, upstream: Tensor) -> Tensor:
    # Read from control inputs: as an input of the op, TF 1.15's optimizer loses the dependency.
    name = f"{op.name.rpartition('/')[0]}/{_MOVED}"
    moved = [waited.outputs[0] for waited in op.control_inputs if waited.name == name]
    with tf.control_dependencies([tf.identity(tensor) for tensor in moved]):
        return tf.identity(upstream)
