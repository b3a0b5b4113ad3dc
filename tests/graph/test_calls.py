"""What listeners hear of calls: each once, what was asked for and what came of it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.conftest import tensorflow
from tf1_bn._src.call.calls import on_call

DATA = np.arange(96.0, dtype=np.float32).reshape(2, 4, 4, 3)


class Heard:
    """All that was told."""

    def __init__(self) -> None:
        self.began: list[Any] = []
        self.ended: list[Any] = []

    def __call__(self, maker: Any, inputs: Any, arguments: Any) -> Any:
        self.began.append((maker, inputs, dict(arguments)))
        return lambda outputs, calls: self.ended.append((outputs, list(calls)))


def test_a_call_of_a_layer(fresh_graph: Any) -> None:
    tf, heard = tensorflow(), Heard()
    layer = tf1_bn.BatchNormalization(name="a")
    with on_call(heard):
        outputs = layer(DATA, training=1)
    layer(DATA)
    [(maker, inputs, arguments)] = heard.began
    assert maker is layer and inputs is DATA and arguments == {"training": 1}
    [(told, [call])] = heard.ended
    assert told is outputs and call.outputs is outputs
    assert call.training is True and call.inputs.shape.as_list() == [2, 4, 4, 3]
    assert call.variables.moving_mean is layer.moving_mean
    assert list(call.updates) == layer.updates == tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert str(call.choice) == str(layer.kernel)


@pytest.mark.parametrize("rank", [2, 4])
def test_a_call_of_contrib_is_one(rank: int, fresh_graph: Any) -> None:
    tf, heard = tensorflow(), Heard()
    data = DATA if rank == 4 else DATA.reshape(-1, 3)
    with on_call(heard):
        outputs = tf1_bn.contrib.batch_norm(data, 0.5, activation_fn=tf.nn.relu)
    [(maker, inputs, arguments)] = heard.began
    assert maker is tf1_bn.contrib.batch_norm and inputs is data
    assert (arguments["decay"], arguments["is_training"]) == (0.5, True)
    [(told, [call])] = heard.ended
    assert told is outputs and call.outputs is not outputs
    assert call.variables.moving_mean.name == "BatchNorm/moving_mean:0"
    assert len(call.updates) == 2


def test_contrib_in_place_leaves_no_updates_to_run(fresh_graph: Any) -> None:
    heard = Heard()
    with on_call(heard):
        tf1_bn.contrib.batch_norm(DATA, updates_collections=None)
    [(_, [call])] = heard.ended
    assert call.updates == () and call.active is None


def test_what_the_adjustment_returned(fresh_graph: Any) -> None:
    heard = Heard()
    scale = np.ones([1, 1, 1, 3], np.float32)
    with on_call(heard):
        tf1_bn.batch_normalization(DATA, training=True, adjustment=lambda shape: (scale, 0.5))
    [(_, [call])] = heard.ended
    assert call.adjusted[0] is scale and call.adjusted[1] == 0.5


def test_a_subclass_that_normalizes_twice_and_one_that_does_not(fresh_graph: Any) -> None:
    class Twice(tf1_bn.BatchNormalization):
        def call(self, inputs: Any, training: Any = False) -> Any:
            return super().call(super().call(inputs, training), training)

    class Never(tf1_bn.BatchNormalization):
        def call(self, inputs: Any, training: Any = False) -> Any:
            return inputs

    heard = Heard()
    with on_call(heard):
        Twice()(DATA)
        Never()(DATA)
    assert [len(calls) for _, calls in heard.ended] == [2, 0]


def test_a_call_that_fails_is_not_told_as_built_and_ends(fresh_graph: Any) -> None:
    def fails(shape: Any) -> Any:
        raise RuntimeError("adjustment")

    heard = Heard()
    with on_call(heard):
        with pytest.raises(RuntimeError, match="adjustment"):
            tf1_bn.batch_normalization(DATA, training=True, adjustment=fails)
        tf1_bn.batch_normalization(DATA)
    assert len(heard.began) == 2 and len(heard.ended) == 1


def test_a_listener_that_fails_makes_the_call_fail(fresh_graph: Any) -> None:
    tf = tensorflow()

    def listener(maker: Any, inputs: Any, arguments: Any) -> Any:
        def finish(outputs: Any, calls: Any) -> None:
            raise RuntimeError("heard")

        return finish

    with on_call(listener), pytest.raises(RuntimeError, match="heard"):
        tf1_bn.batch_normalization(DATA, training=True)
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []


def test_listening_keeps_no_graph(fresh_graph: Any) -> None:
    tf = tensorflow()

    def listener(maker: Any, inputs: Any, arguments: Any) -> Any:
        return lambda outputs, calls: None

    with on_call(listener):
        graph = tf.Graph()
        with graph.as_default():
            tf1_bn.batch_normalization(DATA, training=True)
        known = weakref.ref(graph)
        del graph
        gc.collect()
        assert known() is None
