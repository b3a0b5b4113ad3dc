"""Thousands of calls: each works and agrees with NumPy, or names what is wrong and leaves nothing.

Quickly by what is decided before any graph, hundreds by building, tens by running.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_session
from tests.graph.support import Snapshot
from tests.properties.calls import SENSELESS, WITH_RENORM, Call, Made, calls, made, norm_of, tf
from tests.properties.test_reference import seeds
from tests.reference import infer, train
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization, batch_normalization
from tf1_bn._src.api.planning import check_call, check_scope_name, make_spec
from tf1_bn._src.plan.kernel_choice import choose_kernel
from tf1_bn._src.plan.spec import SPEC_FIELDS, check_reuse

DEFAULTS = {name: getattr(BatchNormalization(), name) for name in SPEC_FIELDS if name != "fused"}
EXPECTED = (ValueError, TypeError)


def assert_names(error: Exception, wrong: tuple) -> None:
    """The message names a wrong argument: in the package's quotes, or as TF1's first word."""
    message = str(error)
    named = [name for name in wrong if f"`{name}" in message or message.startswith(f"{name} ")]
    assert named, f"{wrong} not in: {message}"


def decide(call: Call, inputs: Any, arguments: dict) -> None:
    """Everything that is decided before the first op."""
    given = {k: v for k, v in arguments.items() if k in SPEC_FIELDS}
    check_reuse(arguments.get("reuse"))
    check_scope_name(arguments.get("name"))
    spec = make_spec({**DEFAULTS, "fused": None, **given})
    geometry = check_call(spec, inputs, arguments.get("training", False)).geometry
    assert choose_kernel(spec, geometry).reason


@settings(max_examples=2500)
@given(call=calls())
def test_a_call_is_decided_or_refused(call: Call) -> None:
    with tf.Graph().as_default() as graph:
        arguments = made(call.arguments)
        inputs = arguments.pop("inputs", np.zeros(call.shape, "float32"))
        before = Snapshot.of(graph)
        if not call.wrong:
            decide(call, inputs, arguments)
        else:
            with pytest.raises(EXPECTED) as caught:
                decide(call, inputs, arguments)
            assert_names(caught.value, call.wrong)
        assert Snapshot.of(graph) == before


@pytest.mark.parametrize("name", sorted({**SENSELESS, **WITH_RENORM}))
def test_every_senseless_value_alone_is_refused(name: str) -> None:
    """None is left to chance; by the function and by the class."""
    for value in {**SENSELESS, **WITH_RENORM}[name]:
        with tf.Graph().as_default() as graph:
            given = made({"inputs": tf.zeros([4, 3]), name: value})
            given.update({"renorm": True} if name in WITH_RENORM else {})
            before = Snapshot.of(graph)
            with pytest.raises(EXPECTED) as caught:
                batch_normalization(**given)
            assert_names(caught.value, (name,))
            assert Snapshot.of(graph) == before, f"{name}={value!r} left something behind"


def built(call: Call, entry: str) -> tuple:
    arguments = made(call.arguments)
    inputs = arguments.pop("inputs", None)
    if "inputs" not in call.arguments:
        inputs = tf.placeholder(call.dtype, call.shape)
    before = Snapshot.of(tf.get_default_graph())
    if entry == "function":
        return inputs, before, lambda: batch_normalization(inputs, **arguments)
    training = arguments.pop("training", False)
    if "reuse" in arguments:
        arguments["_reuse"] = arguments.pop("reuse")
    return inputs, before, lambda: BatchNormalization(**arguments)(inputs, training=training)


@settings(max_examples=250)
@given(call=calls(most_wrong=1), entry=st.sampled_from(["function", "function", "class"]))
def test_a_call_builds_a_whole_layer_or_nothing(call: Call, entry: str) -> None:
    with tf.Graph().as_default() as graph:
        inputs, before, build = built(call, entry)
        if call.wrong:
            with pytest.raises(EXPECTED) as caught:
                build()
            assert_names(caught.value, call.wrong)
            # A layer object that was made well may have opened its scope; variables none has.
            if entry == "function":
                assert Snapshot.of(graph) == before
            assert tf.global_variables() == [] == tf.get_collection(tf.GraphKeys.UPDATE_OPS)
            return
        outputs = build()
        assert outputs.dtype == inputs.dtype
        assert outputs.shape.as_list() == list(call.shape)
        norm = norm_of(call, fused=False)
        learned = int(norm.scale) + int(norm.center)
        trainable = bool(call.arguments.get("trainable", True))
        assert len(tf.global_variables()) == learned + (5 if norm.renorm else 2)
        assert len(tf.trainable_variables()) == (learned if trainable else 0)
        training = call.arguments.get("training", False)
        active = trainable and (training is None or isinstance(training, Made) or bool(training))
        assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == (2 if active else 0)


@settings(max_examples=50)
@given(call=calls(most_wrong=0), seed=seeds, training=st.booleans())
def test_a_call_runs_as_numpy_does(call: Call, seed: int, training: bool) -> None:
    arguments = {k: v for k, v in call.arguments.items() if k not in ("trainable", "name")}
    arguments["training"] = Made("phase", lambda: tf.placeholder_with_default(training, []))
    dtype = call.dtype if call.dtype == "float64" else "float32"
    random = np.random.RandomState(seed)
    x = (random.standard_normal(call.shape) * 1.5 + random.uniform(-2, 2)).astype(dtype)
    with tf.Graph().as_default() as graph:
        outputs = batch_normalization(tf.constant(x), name="bn", **made(arguments))
        variables = {v.op.name.split("/")[-1]: v for v in tf.global_variables()}
        state = {
            name: random.uniform(0.5, 1.5, v.shape.as_list()).astype(dtype)
            for name, v in variables.items()
        }
        # Where TF 1.15 has no fused kernel, the same op is used in a scope of its own.
        fused = any(
            op.type.startswith("FusedBatchNorm") and "/fold" not in op.name
            for op in graph.get_operations()
        )
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with make_session(graph) as session:
            feed = {v.initializer.inputs[1]: state[name] for name, v in variables.items()}
            session.run([v.initializer for v in variables.values()], feed)
            y, _ = session.run([outputs, updates])
            after = session.run(variables)

    norm = norm_of(call, fused)
    expected = train(norm, x, state) if training else infer(norm, x, state)
    row = (dtype, "NumPy any")
    assert_close(y, expected.outputs, "output", *row)
    for name, value in expected.state.items():
        assert_close(after[name].reshape(-1), value, "state", *row, what=name)
