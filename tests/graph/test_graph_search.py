"""The walk from what is wanted back to what it is computed from."""

from __future__ import annotations

from typing import Any

from tests.conftest import tensorflow
from tf1_bn._src.runtime.graph_search import needed_ops


def names(targets: list[Any], follows: Any = None) -> list[str]:
    return sorted(op.name for op in needed_ops(targets, follows))


def diamond() -> Any:
    """Return `end`, which `left` and `right` lead to from `start`, and `waited` by control."""
    tf = tensorflow()
    start = tf.constant([1.0, 2.0], name="start")
    tf.identity(start, name="beside")
    with tf.control_dependencies([tf.no_op(name="waited")]):
        left = tf.identity(start, name="left")
    return tf.add(left, tf.identity(start, name="right"), name="end")


def test_each_op_once_by_data_and_by_control(fresh_graph: Any) -> None:
    end = diamond()
    everything = ["end", "left", "right", "start", "waited"]
    assert names([end]) == names([end.op]) == names([end, end.op]) == everything


def test_an_edge_that_is_not_followed(fresh_graph: Any) -> None:
    end = diamond()
    left = end.op.inputs[0]
    assert names([end], lambda source: source.name != left.name) == ["end", "right", "start"]
    assert names([end], lambda source: source.name != "waited") == ["end", "left", "right", "start"]


def test_a_loop_ends(fresh_graph: Any) -> None:
    tf = tensorflow()
    outputs = tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0, name="zero")])
    assert "zero" in names([outputs])
