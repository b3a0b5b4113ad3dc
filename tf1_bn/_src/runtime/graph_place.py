# SPDX-License-Identifier: Apache-2.0
"""Where in a graph the code builds: in a function, in a conditional or loop of control flow v1."""

from __future__ import annotations

from .tensorflow_v1 import Operation, tf

# The bodies of control flow v2: graphs of their own that belong to the one around them.
V2_BODIES = ("CondBranchFuncGraph", "WhileCondFuncGraph", "WhileBodyFuncGraph")


def in_function() -> bool:
    """Whether graph is built for a `tf.function`, a `tf.wrap_function` or the like.

    A conditional or loop of control flow v2 counts as what it stands in.
    """
    graph = tf.get_default_graph()
    while type(graph).__name__ in V2_BODIES:
        graph = graph.outer_graph
    return type(graph) is not tf.Graph


def enclosing_v1_op() -> Operation | None:
    """The predicate, or an Enter op, of the innermost context of control flow v1; None outside.

    The branches and bodies of control flow v2 are graphs of their own and count as outside.
    """
    graph = tf.get_default_graph()
    if graph.is_fetchable(tf.no_op(name="place")):
        return None
    # What a tensor from outside of everything comes through.
    with tf.control_dependencies(None):
        outside = tf.constant(0, name="outside")
    entrance = tf.identity(outside, name="inside").op.inputs[0].op
    if entrance.type == "Switch":
        return entrance.inputs[1].op
    if entrance.type != "Enter":
        return None
    frame = entrance.get_attr("frame_name")
    enters = (op for op in graph.get_operations() if op.type in ("Enter", "RefEnter"))
    return next(op for op in enters if op.get_attr("frame_name") == frame)
