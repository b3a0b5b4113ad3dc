# SPDX-License-Identifier: Apache-2.0
"""What is found in graphs of tf1_bn's own layers, beside what the package notes of its calls."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import tf1_bn
from tf1_bn._src.discovery.layers import find
from tf1_bn._src.runtime.graph_place import calls_of
from tf1_bn._src.runtime.tensorflow_v1 import tf

SHAPES = ([None, 5], [8, 4, 4, 3], [64, 32, 32, 8], [8, 6, 5, 4, 3])
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"fused": False, "center": False},
    {"axis": 1, "scale": False},
    {"renorm": True},
    {"virtual_batch_size": 2},
)
ROLES = ("gamma", "beta", "moving_mean", "moving_variance")


@pytest.mark.parametrize("shape, settings", list(itertools.product(SHAPES, SETTINGS)))
@pytest.mark.parametrize("phase", ["training", "inference", "switched"])
def test_found_as_noted(shape: Any, settings: dict[str, Any], phase: str) -> None:
    with tf.Graph().as_default() as graph:
        inputs = tf.placeholder(tf.float32, shape)
        training = tf.placeholder(tf.bool, [], "p") if phase == "switched" else phase == "training"
        tf1_bn.batch_normalization(inputs, training=training, name="bn", **settings)
        (noted,) = calls_of(graph)
        size = len(graph.get_operations())
        (layer,) = find(graph).layers
        assert len(graph.get_operations()) == size
    (call,) = layer.calls
    assert (call.phase, call.input, call.output) == (phase, inputs.name, noted.outputs.name)
    assert call.switch == ("p:0" if phase == "switched" else None)
    held = [getattr(noted.variables, role) for role in ROLES]
    assert layer.variables[:4] == tuple(v if v is None else v.op.name for v in held)
    moved = {update.variable for update in call.updates}
    averages = {"bn/moving_mean", "bn/moving_variance"}
    assert (averages <= moved) if noted.updates else not moved


def test_two_layers_on_one_input_keep_their_updates() -> None:
    with tf.Graph().as_default() as graph:
        inputs = tf.placeholder(tf.float32, [8, 4, 4, 3])
        for name in ("first", "second"):
            tf1_bn.batch_normalization(inputs, training=True, name=name)
        layers = find(graph).layers
    assert [layer.variables.moving_mean for layer in layers] == [
        "first/moving_mean",
        "second/moving_mean",
    ]
    assert [len(layer.calls[0].updates) for layer in layers] == [2, 2]


@pytest.mark.parametrize("training", [True, False])
def test_several_axes(training: bool) -> None:
    with tf.Graph().as_default() as graph:
        inputs = tf.placeholder(tf.float32, [8, 6, 5, 4, 3])
        tf1_bn.batch_normalization(inputs, training=training, axis=[1, 4], fused=False)
        (layer,) = find(graph).layers
    assert layer.calls[0].channel_axes == (1, 4)
