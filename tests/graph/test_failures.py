"""A call that fails says why and leaves the graph as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.graph.support import Snapshot, tf
from tf1_bn import BatchNormalization, batch_normalization
from tf1_bn._src.state import origin


def _placeholder(*shape: Any, dtype: Any = None) -> Any:
    return tf.placeholder(dtype or tf.float32, list(shape))


BAD_TRAINING = [
    (lambda: 2, TypeError, "2"),
    (lambda: 0.5, TypeError, "0.5"),
    (lambda: "yes", TypeError, "'yes'"),
    (lambda: [True], TypeError, "[True]"),
    (lambda: np.array([True, False]), TypeError, "array"),
    (lambda: tf.constant("yes"), TypeError, "string"),
    (lambda: tf.constant([True, False]), ValueError, "rank 1"),
    (lambda: tf.constant(1) + _placeholder(dtype=tf.int32), TypeError, "int32"),
    (lambda: _placeholder(dtype=tf.int32), TypeError, "int32"),
    (lambda: _placeholder(3, dtype=tf.bool), ValueError, "rank 1"),
]


@pytest.mark.parametrize(("make", "error", "says"), BAD_TRAINING)
def test_training_must_be_a_flag(make: Any, error: type, says: str, fresh_graph: Any) -> None:
    inputs, training = _placeholder(7, 5), make()
    before = Snapshot.of(fresh_graph)

    with pytest.raises(error) as raised:
        batch_normalization(inputs, training=training)

    assert "`training`" in str(raised.value) and says in str(raised.value)
    assert Snapshot.of(fresh_graph) == before


BAD_INPUTS = [
    (lambda: tf.placeholder(tf.float32), ValueError, "unknown"),
    (lambda: tf.placeholder(tf.float32, []), ValueError, "[]"),
    (lambda: _placeholder(7, None), ValueError, "[7, None]"),
    (lambda: None, ValueError, "None"),
    (lambda: _placeholder(7, 5, dtype=tf.int32), TypeError, "int32"),
    (lambda: _placeholder(7, 5, dtype=tf.bool), TypeError, "bool"),
    (lambda: _placeholder(7, 5, dtype=tf.string), TypeError, "string"),
    (lambda: np.ones([7, 5], "int64"), TypeError, "int64"),
    (lambda: [[1.0, 2.0]], TypeError, "[[1.0, 2.0]]"),
    (lambda: tf.sparse.placeholder(tf.float32, [7, 5]), TypeError, "SparseTensor"),
    (lambda: "text", TypeError, "'text'"),
]


@pytest.mark.parametrize(("make", "error", "says"), BAD_INPUTS)
def test_inputs_must_be_a_float_tensor(make: Any, error: type, says: str, fresh_graph: Any) -> None:
    inputs = make()
    before = Snapshot.of(fresh_graph)

    with pytest.raises(error) as raised:
        batch_normalization(inputs, training=True)

    assert "`inputs`" in str(raised.value) and says in str(raised.value)
    assert Snapshot.of(fresh_graph) == before


def test_inputs_of_another_graph_are_refused(fresh_graph: Any) -> None:
    with tf.Graph().as_default():
        elsewhere = _placeholder(7, 5)

    with pytest.raises(ValueError, match="`inputs` must be of the default graph"):
        batch_normalization(elsewhere)
    assert fresh_graph.get_operations() == []


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"axis": 2}, ValueError, "`axis`"),
        ({"axis": [0, -2]}, ValueError, "`axis`"),
        ({"axis": "1"}, TypeError, "'1'"),
        ({"momentum": "0.9"}, TypeError, "`momentum`"),
        ({"epsilon": None}, ValueError, "`epsilon`"),
        ({"virtual_batch_size": 4}, ValueError, "batch size 7"),
        ({"virtual_batch_size": -1}, ValueError, "(got -1)"),
        ({"virtual_batch_size": 7, "axis": 0}, ValueError, "axis"),
        ({"renorm": True, "renorm_clipping": {"max": 1}}, ValueError, "['max']"),
        ({"reuse": "maybe"}, ValueError, "'maybe'"),
        ({"name": "a b"}, ValueError, "'a b'"),
        ({"name": "_a"}, ValueError, "'_a'"),
        ({"name": 5}, TypeError, "5"),
        ({"gamma_initializer": "onces"}, ValueError, "'onces'"),
        ({"beta_initializer": 0.5}, ValueError, "0.5"),
        ({"momentun": 0.9}, TypeError, "momentun"),
    ],
)
def test_a_wrong_argument_leaves_no_trace(
    arguments: dict, error: type, says: str, fresh_graph: Any
) -> None:
    inputs = _placeholder(7, 5)
    before = Snapshot.of(fresh_graph)

    with pytest.raises(error) as raised:
        batch_normalization(inputs, training=True, **arguments)

    assert says in str(raised.value)
    assert Snapshot.of(fresh_graph) == before
    # Nor has the name been used up.
    assert batch_normalization(inputs).name == "batch_normalization/batchnorm/add_1:0"


def test_a_name_that_needs_an_outer_scope_is_refused_at_the_root_alone() -> None:
    inputs = _placeholder(7, 5)

    with tf.name_scope("ops"), pytest.raises(ValueError, match="'_a'"):
        batch_normalization(inputs, name="_a")
    with tf.variable_scope("outer"):
        assert batch_normalization(inputs, name="_a").name == "outer/_a/batchnorm/add_1:0"


def test_reusing_what_does_not_exist_makes_nothing() -> None:
    inputs = _placeholder(7, 5)

    with pytest.raises(ValueError, match=r"nope/gamma does not exist(.|\n)*reuse=True"):
        batch_normalization(inputs, training=True, name="nope", reuse=True)

    assert tf.global_variables() == []
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []


@pytest.mark.parametrize("reuse", [True, tf.AUTO_REUSE])
def test_reusing_another_shape_makes_nothing(reuse: Any) -> None:
    batch_normalization(_placeholder(7, 5), name="bn")
    before = tf.global_variables()

    with pytest.raises(ValueError, match=r"\(6,\) and found shape \(5,\)(.|\n)*`gamma`"):
        batch_normalization(_placeholder(7, 6), training=True, name="bn", reuse=reuse)

    assert tf.global_variables() == before
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []


@pytest.mark.parametrize("taken", ["beta", "moving_mean", "moving_variance"])
def test_one_taken_name_does_not_leave_half_a_layer(taken: str) -> None:
    with tf.variable_scope("bn"):
        tf.get_variable(taken, [5])
    before = tf.global_variables()

    with pytest.raises(ValueError, match=f"bn/{taken} already exists"):
        batch_normalization(_placeholder(7, 5), name="bn")

    assert tf.global_variables() == before


@pytest.mark.parametrize("make", [batch_normalization, tf1_bn.contrib.batch_norm])
def test_a_taken_name_leads_to_the_line_of_the_program(make: Any) -> None:
    """TensorFlow 2 shows the last lines that are not its own, and ours would fill them."""
    named = {"scope": "bn"} if make is tf1_bn.contrib.batch_norm else {"name": "bn"}
    make(_placeholder(7, 5), **named)
    with pytest.raises(ValueError, match="already exists") as raised:
        make(_placeholder(7, 5), **named)
    shown = [str(raised.value), str(raised.value.__cause__)]
    assert not any("_src" in text for text in shown)
    # Of a resource variable TensorFlow shows no line at all.
    if tf.__version__[0] == "2" and not tf.resource_variables_enabled():
        here = f'Originally defined at:\n\n  File "{__file__}", line '
        assert here in shown[0] and (raised.value.__cause__ is None or here in shown[1])


def test_a_taken_name_of_another_place_has_no_lines() -> None:
    text = "Variable bn/gamma already exists, disallowed. Or not? Originally defined at:\n\n  {}"
    for place, wanted in (("/a.py", None), (origin.__file__, text[: text.index(" Originally")])):
        error = ValueError(text.format(place))
        origin.show_lines_of_program(error)
        assert str(error) == (wanted or text.format(place))


def test_a_layer_whose_name_differs_by_case_does_not_hide_half_a_layer() -> None:
    with tf.variable_scope("bn"):
        tf.get_variable("beta", [5])
    batch_normalization(_placeholder(7, 5), name="BN")
    before = tf.global_variables()

    with pytest.raises(ValueError, match="bn/beta already exists"):
        batch_normalization(_placeholder(7, 5), name="bn")

    assert tf.global_variables() == before


def test_a_name_scope_called_like_a_variable_is_no_half_layer() -> None:
    with tf.name_scope("bn/beta"):
        tf.no_op()

    batch_normalization(_placeholder(7, 5), name="bn")

    # TensorFlow gives the op another name, the variable itself keeps its own.
    names = [variable.op.name for variable in tf.global_variables()]
    assert names == ["bn/gamma", "bn/beta_1", "bn/moving_mean", "bn/moving_variance"]


def test_auto_reuse_of_one_misshapen_variable_does_not_leave_half_a_layer() -> None:
    with tf.variable_scope("bn"):
        tf.get_variable("moving_variance", [6])
    before = tf.global_variables()

    with pytest.raises(ValueError, match=r"bn/moving_variance.*\(5,\) and found shape \(6,\)"):
        batch_normalization(_placeholder(7, 5), name="bn", reuse=tf.AUTO_REUSE)

    assert tf.global_variables() == before


def test_auto_reuse_makes_exactly_what_is_missing() -> None:
    with tf.variable_scope("bn"):
        tf.get_variable("beta", [5])

    batch_normalization(_placeholder(7, 5), name="bn", reuse=tf.AUTO_REUSE)

    names = [variable.op.name for variable in tf.global_variables()]
    assert names == ["bn/beta", "bn/gamma", "bn/moving_mean", "bn/moving_variance"]


def test_a_failed_build_leaves_the_layer_unbuilt_and_usable() -> None:
    layer = BatchNormalization(name="bn")

    with pytest.raises(ValueError, match="axis"):
        layer(_placeholder(7, None), training=True)
    assert not layer.built and layer.variables == [] and layer.updates == []

    layer(_placeholder(7, 5), training=True)
    assert layer.scope_name == "bn" and len(layer.variables) == 4


def test_a_later_call_that_does_not_fit_adds_nothing() -> None:
    layer = BatchNormalization(name="bn")
    layer(_placeholder(7, 5), training=True)
    updates = layer.updates

    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 5"):
        layer(_placeholder(7, 6), training=True)

    assert layer.updates == updates == tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_an_unknown_constructor_argument_is_named() -> None:
    with pytest.raises(TypeError, match="Keyword argument not understood.*bogus"):
        BatchNormalization(bogus=1)


def test_a_statistic_that_is_no_variable_cannot_be_trained() -> None:
    def reading(getter: Any, name: str, **kwargs: Any) -> Any:
        return tf.identity(getter(name, **kwargs))

    inputs = _placeholder(7, 5)
    with tf.variable_scope("copies", custom_getter=reading):
        batch_normalization(inputs, name="inference")
        with pytest.raises(TypeError, match="moving statistic must be a variable"):
            batch_normalization(inputs, training=True, name="training")


@pytest.mark.parametrize("shape", [(7, 5), (4, 3, 2, 5)])
def test_other_channels_than_the_layers_fail_when_they_come(shape: tuple, session: Any) -> None:
    """TF 1.15.5's fused op reads past the end of the parameters instead."""
    layer = BatchNormalization(name="bn")
    layer(_placeholder(*shape), training=True)
    seen = _placeholder(*[None] * len(shape))
    outputs = layer(seen, training=True)
    session.run(tf.global_variables_initializer())

    assert outputs.shape.as_list() == [None] * (len(shape) - 1) + [5]
    assert np.isfinite(session.run(outputs, {seen: np.ones(shape)})).all()
    with pytest.raises(tf.errors.InvalidArgumentError):
        session.run(outputs, {seen: np.ones((*shape[:-1], 6))})


@pytest.mark.parametrize("argument", ["momentum", "epsilon"])
@pytest.mark.parametrize("value", ["0.5", True, 0.5j])
def test_a_tensor_of_no_numbers_is_no_number(argument: str, value: Any, fresh_graph: Any) -> None:
    inputs, tensor = _placeholder(7, 5), tf.constant(value)
    before = Snapshot.of(fresh_graph)

    with pytest.raises(TypeError) as raised:
        batch_normalization(inputs, training=True, **{argument: tensor})

    assert f"`{argument}`" in str(raised.value) and tensor.name in str(raised.value)
    assert Snapshot.of(fresh_graph) == before
