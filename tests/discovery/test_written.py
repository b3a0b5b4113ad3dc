# SPDX-License-Identifier: Apache-2.0
"""Graphs written down op by op: what is near to a batch normalization, and what is broken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.discovery.graph_text import composed_layer, constant, graph, node
from tf1_bn._src.discovery.layers import find

DATA = node("x", "Placeholder")


def changed(nodes: list[Any], name: str, **values: Any) -> list[Any]:
    """The nodes, with one of them changed."""
    return [SimpleNamespace(**{**vars(n), **values}) if n.name == name else n for n in nodes]


def test_a_chain_of_elementary_ops() -> None:
    (layer,) = find(graph([DATA, *composed_layer("a", "x")])).layers
    (call,) = layer.calls
    assert (call.input, call.output, call.phase) == ("x:0", "a/add_1:0", "training")
    assert layer.variables[:4] == ("a/gamma", "a/beta", "a/moving_mean", "a/moving_variance")


def test_moments_of_each_example_are_no_batch_statistics() -> None:
    axes = constant(np.int32([1, 2]))
    nodes = changed([DATA, *composed_layer("a", "x")], "a/axes", attr=axes)
    assert find(graph(nodes)).layers == ()


def test_a_mean_of_squares_without_a_center_is_none() -> None:
    nodes = [DATA, *composed_layer("a", "x")]
    nodes = changed(nodes, "a/difference", op="Square", input=["x"])
    assert find(graph(nodes)).layers == ()


def test_updates_of_one_layer_are_not_those_of_the_next() -> None:
    nodes = [DATA, *composed_layer("a", "x"), *composed_layer("b", "a/add_1")]
    first, second = find(graph(nodes)).layers
    assert {update.variable for update in first.calls[0].updates} == {
        "a/moving_mean",
        "a/moving_variance",
    }
    assert second.calls[0].input == "a/add_1:0"


def test_a_function_that_calls_itself_is_said_to_be_unread() -> None:
    signature = SimpleNamespace(name="f", input_arg=[], output_arg=[])
    inside = node("again", "PartitionedCall", f=SimpleNamespace(func=SimpleNamespace(name="f")))
    function = SimpleNamespace(signature=signature, node_def=[inside], ret={}, control_ret={})
    call = node("call", "PartitionedCall", f=SimpleNamespace(func=SimpleNamespace(name="f")))
    found = find(graph([DATA, call, *composed_layer("a", "x")], [function]))
    assert found.unread == ("call/again: the function f calls itself",)
    assert len(found.layers) == 1


def test_missing_nodes_and_circles_stop_nobody() -> None:
    circle = [node("p", "Identity", "q"), node("q", "Identity", "p"), node("r", "Rsqrt", "p")]
    nodes = [*circle, *composed_layer("a", "nowhere")]
    (layer,) = find(graph(nodes)).layers
    assert layer.calls[0].input == "nowhere:0"
    assert find(graph([])).layers == ()


def test_a_node_without_its_inputs_is_said_to_be_damaged() -> None:
    nodes = changed([DATA, *composed_layer("a", "x")], "a/add_1", input=["a/mul_1"])
    found = find(graph([*nodes, *composed_layer("b", "x")]))
    assert [line for line in found.unread if "a/add_1" in line] == [
        "a/add_1: AddV2 has too few inputs"
    ]
    assert [call.output for layer in found.layers for call in layer.calls][-1] == "b/add_1:0"
