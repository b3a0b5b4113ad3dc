# SPDX-License-Identifier: Apache-2.0
"""Small graphs written down op by op, as a GraphDef reads, without TensorFlow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Sequence

import numpy as np


def constant(values: Any) -> dict[str, Any]:
    """The attributes of a Const."""
    array = np.asarray(values)
    code = {"float32": 1, "int32": 3, "bool": 10}[str(array.dtype)]
    sizes = SimpleNamespace(dim=[SimpleNamespace(size=size) for size in array.shape])
    tensor = SimpleNamespace(dtype=code, tensor_content=array.tobytes(), tensor_shape=sizes)
    return {"value": SimpleNamespace(tensor=tensor)}


def node(name: str, op: str, *inputs: str, **attributes: Any) -> Any:
    return SimpleNamespace(name=name, op=op, input=list(inputs), attr=attributes, device="")


def graph(nodes: Sequence[Any], functions: Sequence[Any] = ()) -> Any:
    return SimpleNamespace(node=list(nodes), library=SimpleNamespace(function=list(functions)))


def composed_layer(scope: str, data: str) -> list[Any]:
    """A layer in training as tf.layers writes it, with ref variables and two updates."""

    def ops() -> Any:
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            yield name, "VariableV2", []
            yield f"{name}/read", "Identity", [name]
        yield "mean", "Mean", [data, "axes"]
        yield "stop", "StopGradient", ["mean"]
        yield "difference", "SquaredDifference", [data, "stop"]
        yield "variance", "Mean", ["difference", "axes"]
        yield "sum", "AddV2", ["variance", "epsilon"]
        yield "rsqrt", "Rsqrt", ["sum"]
        yield "mul", "Mul", ["rsqrt", "gamma/read"]
        yield "mul_1", "Mul", [data, "mul"]
        yield "mul_2", "Mul", ["mean", "mul"]
        yield "sub", "Sub", ["beta/read", "mul_2"]
        yield "add_1", "AddV2", ["mul_1", "sub"]
        for name, value in (("moving_mean", "mean"), ("moving_variance", "variance")):
            yield f"{name}_difference", "Sub", [f"{name}/read", value]
            yield f"{name}_step", "Mul", [f"{name}_difference", "rate"]
            yield f"{name}_update", "AssignSub", [name, f"{name}_step"]

    made = [
        node(f"{scope}/axes", "Const", **constant(np.int32([0]))),
        node(f"{scope}/epsilon", "Const", **constant(np.float32(1e-3))),
        node(f"{scope}/rate", "Const", **constant(np.float32(0.01))),
    ]
    for name, op, inputs in ops():
        given = [each if each == data else f"{scope}/{each}" for each in inputs]
        made.append(node(f"{scope}/{name}", op, *given))
    return made
