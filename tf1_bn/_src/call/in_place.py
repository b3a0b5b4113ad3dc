# SPDX-License-Identifier: Apache-2.0
"""Outputs that wait for the updates, as do the gradients through them."""

from __future__ import annotations

from typing import Sequence

from ..runtime.graph_place import in_function
from ..runtime.tensorflow_v1 import Operation, Tensor, register_gradient, tf

# Part of every graph that was ever exported, so it stays as it is.
_IN_PLACE = "tf1_bn.update_mode.in_place"
_MOVED = "moved"


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
            token = tf.negative(mean, name=_MOVED)
        with tf.control_dependencies([token]):
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
