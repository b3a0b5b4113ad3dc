# SPDX-License-Identifier: Apache-2.0
"""Layers found in graphs that TensorFlow 1.15.5 made with each library; the answers by hand."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from tf1_bn._src.discovery.found import Found, FoundCall, FoundVariables
from tf1_bn._src.discovery.layers import find
from tf1_bn._src.runtime.tensorflow_v1 import tf

DATA = Path(__file__).parent / "data"
CONV = "conv/Conv2D:0"


def found(name: str) -> Found:
    content = gzip.decompress((DATA / f"{name}.pb.gz").read_bytes())
    return find(tf.GraphDef.FromString(content))


def plain(scope: str, frozen: bool = False, **others: Any) -> FoundVariables:
    """The variables of a layer of tf.layers."""
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    variables = FoundVariables(*(f"{scope}/{name}" for name in names), renorm=(), frozen=frozen)
    return variables._replace(**others)


def written(call: FoundCall) -> dict[str, str]:
    """The op that moves each average."""
    return {update.variable: update.op for update in call.updates}


def pair(scope: str, first: str, second: str) -> dict[str, str]:
    return {f"{scope}/moving_mean": first, f"{scope}/moving_variance": second}


MOVES = pair("bn", "bn/AssignMovingAvg", "bn/AssignMovingAvg_1")
RESOURCE = {variable: f"{op}/AssignSubVariableOp" for variable, op in MOVES.items()}
CONDITIONAL = pair("bn", "bn/cond_2/AssignMovingAvg", "bn/cond_3/AssignMovingAvg")
OP, ELEMENTARY = "FusedBatchNormV3", "bn/batchnorm/add_1:0"

# Of one layer behind a convolution: output, phase, kernel, channel axes, updates.
BEHIND_CONVOLUTION = {
    "fused_train": ("bn/FusedBatchNormV3:0", "training", OP, (3,), MOVES),
    "fused_phase": ("bn/cond/Merge:0", "switched", OP, (3,), MOVES),
    "fused_inference": ("bn/FusedBatchNormV3:0", "inference", OP, (3,), {}),
    "unfused_train": (ELEMENTARY, "training", "composed", (3,), MOVES),
    "unfused_phase": (ELEMENTARY, "switched", "composed", (3,), CONDITIONAL),
    "first_axis": (ELEMENTARY, "training", "composed", (1,), MOVES),
    "ghosts": ("bn/Reshape_1:0", "training", "composed", (3,), MOVES),
    "resource_train": ("bn/FusedBatchNormV3:0", "training", OP, (3,), RESOURCE),
    "resource_phase_unfused": (
        ELEMENTARY,
        "switched",
        "composed",
        (3,),
        {variable: f"{op}/AssignSubVariableOp" for variable, op in CONDITIONAL.items()},
    ),
    "v2_fused": ("bn/cond/Identity:0", "switched", OP, (3,), RESOURCE),
    "v2_unfused": (
        ELEMENTARY,
        "switched",
        "composed",
        (3,),
        pair(
            "bn",
            "bn/cond_2/then/AssignMovingAvg/AssignSubVariableOp",
            "bn/cond_3/then/AssignMovingAvg/AssignSubVariableOp",
        ),
    ),
}


@pytest.mark.parametrize("name", BEHIND_CONVOLUTION)
def test_layer_of_tf_layers(name: str) -> None:
    (layer,) = found(name).layers
    (call,) = layer.calls
    output, phase, kernel, axes, updates = BEHIND_CONVOLUTION[name]
    assert (layer.variables, layer.library) == (plain("bn"), "tf.layers")
    assert (call.input, call.output, call.phase, call.kernel) == (CONV, output, phase, kernel)
    assert (call.channel_axes, call.shape) == (axes, (None, 2, 2, 4))
    assert call.switch == ("phase:0" if phase == "switched" else None)
    assert written(call) == updates
    assert call.epsilon == pytest.approx(1e-3)


@pytest.mark.parametrize("name", ["renorm", "renorm_phase"])
def test_renorm_and_its_averages(name: str) -> None:
    (layer,) = found(name).layers
    (call,) = layer.calls
    more = {"bn/moving_stddev", "bn/renorm_mean", "bn/renorm_stddev"}
    assert set(layer.variables.renorm) == more
    assert layer.variables._replace(renorm=()) == plain("bn")
    assert {*more, "bn/moving_mean"} <= set(written(call))
    assert (call.input, call.output) == (CONV, ELEMENTARY)
    assert call.phase == ("switched" if name == "renorm_phase" else "training")


def test_towers_share_one_layer() -> None:
    (layer,) = found("towers").layers
    assert layer.variables == plain("bn")
    assert [(call.input, call.output) for call in layer.calls] == [
        (f"tower_{tower}/rows:0", f"tower_{tower}/bn/batchnorm/add_1:0") for tower in (0, 1)
    ]
    assert [set(written(call).values()) for call in layer.calls] == [
        {f"tower_{tower}/bn/AssignMovingAvg", f"tower_{tower}/bn/AssignMovingAvg_1"}
        for tower in (0, 1)
    ]


# Gamma, output, phase, whether the updates stand in a conditional.
CONTRIB = {
    "contrib_fused": ("BatchNorm/gamma", "BatchNorm/cond/Merge:0", "switched", False),
    "contrib_unfused": (None, "BatchNorm/batchnorm_1/add_1:0", "switched", True),
    "contrib_in_place": (None, "BatchNorm/Identity:0", "training", False),
}


@pytest.mark.parametrize("name", CONTRIB)
def test_layer_of_contrib(name: str) -> None:
    (layer,) = found(name).layers
    (call,) = layer.calls
    gamma, output, phase, inside = CONTRIB[name]
    assert (layer.variables, layer.library) == (plain("BatchNorm", gamma=gamma), "contrib")
    assert (call.input, call.output, call.phase) == ("images:0", output, phase)
    assert [update.inside for update in call.updates] == [inside, inside]


def test_slim_block() -> None:
    layers = found("slim_block").layers
    assert [layer.library for layer in layers] == ["contrib", "contrib"]
    for layer, scope in zip(layers, ("conv1", "conv2")):
        (call,) = layer.calls
        assert layer.variables == plain(f"{scope}/BatchNorm", gamma=None)
        assert (call.input, call.switch) == (f"{scope}/Conv2D:0", "phase:0")
        assert call.output == f"{scope}/BatchNorm/cond/Merge:0"
        inside = f"{scope}/BatchNorm/cond_1/AssignMovingAvg"
        assert written(call) == pair(f"{scope}/BatchNorm", inside, f"{inside}_1")


def test_keras_layer_in_a_v1_graph() -> None:
    (layer,) = found("keras").layers
    (call,) = layer.calls
    assert (layer.variables, layer.library) == (plain("bn"), "Keras")
    assert (call.switch, call.output) == ("keras_learning_phase:0", "bn/cond/Merge:0")
    assert written(call) == RESOURCE


def test_code_of_2016_with_an_average_of_its_own() -> None:
    (layer,) = found("by_hand").layers
    (call,) = layer.calls
    averages = [f"moments/Squeeze{end}/ExponentialMovingAverage" for end in ("", "_1")]
    assert layer.variables == FoundVariables("factor", "offset", *averages, (), False)
    assert (call.input, call.output, call.switch) == ("images:0", "out/add_1:0", "phase:0")
    scope = "cond/ExponentialMovingAverage/AssignMovingAvg"
    assert written(call) == {averages[0]: scope, averages[1]: f"{scope}_1"}
    assert layer.library == "by hand"


def test_division_by_a_root_and_plain_assignments() -> None:
    (layer,) = found("divided").layers
    assert layer.variables == FoundVariables("scale", "shift", "pop_mean", "pop_var", (), False)
    train, test = layer.calls
    assert (train.phase, train.output) == ("training", "normal:0")
    assert (test.phase, test.output) == ("inference", "tested:0")
    assert written(train) == {"pop_mean": "move_mean", "pop_var": "move_var"}
    assert test.updates == ()


@pytest.mark.parametrize("name", ["frozen_inference", "frozen_unfused"])
def test_constants_after_freezing(name: str) -> None:
    (layer,) = found(name).layers
    assert layer.variables == plain("bn", frozen=True)
    assert [(call.input, call.phase) for call in layer.calls] == [(CONV, "inference")]


def test_frozen_in_training_has_no_averages() -> None:
    (layer,) = found("frozen_training").layers
    nothing = {"moving_mean": None, "moving_variance": None}
    assert layer.variables == plain("bn", frozen=True, **nothing)
    assert [(call.phase, call.updates) for call in layer.calls] == [("training", ())]


def test_folded_into_the_convolution() -> None:
    (layer,) = found("folded").layers
    assert [call.phase for call in layer.calls] == ["folded"]
    assert layer.calls[0].output == "bn/FusedBatchNormV3:0"


def test_other_normalizations_are_no_batch_normalization() -> None:
    """Layer, instance and group norm, L2 norms over both axes, softmax, two optimizers."""
    assert found("others").layers == ()
