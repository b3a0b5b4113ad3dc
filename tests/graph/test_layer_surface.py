"""The names every TF1 layer has: weights, updates and losses by input, specs, copies, no model."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

from tests.conformance.runner import real_layer
from tests.graph.support import distinct, tf
from tests.meta.project import run_python
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization, SyncBatchNormalization

X = distinct(6, 3)
REAL_LAYER_HERE = pytest.mark.tf_max("2.15", reason="the real layer is gone with Keras 3")


def counts_by_input(layer_class: Any, use_resource: bool, dynamic: bool, **arguments: Any) -> list:
    """How many updates belong to what a call's input is, comes from or has nothing to do with."""
    with tf.Graph().as_default(), tf.variable_scope("net", use_resource=use_resource):
        ancestor = tf.placeholder_with_default(X, [6, 3])
        offset = tf.get_variable("offset", initializer=tf.zeros([]))
        x, other = ancestor * 2.0 + offset, tf.constant(1.0)
        layer = layer_class(momentum=0.5, **arguments)
        training = tf.placeholder_with_default(True, []) if dynamic else True
        layer(x, training=training)
        layer(ancestor + 7.0, training=training)
        layer.add_update(tf.no_op())
        wanted = (x, [x], ancestor, [ancestor, x], offset, x.op, other, None, [])
        counts = [len(layer.get_updates_for(inputs)) for inputs in wanted]
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            session.run(layer.get_updates_for([offset]))
            moved = session.run(layer.moving_mean).ravel()
    return [counts, moved]


@pytest.mark.parametrize("arguments", [{}, {"renorm": True}, {"virtual_batch_size": 3}], ids=str)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("use_resource", [False, True])
def test_updates_are_found_by_all_that_a_calls_input_comes_from(
    use_resource: bool, dynamic: bool, arguments: Any
) -> None:
    counts, moved = counts_by_input(BatchNormalization, use_resource, dynamic, **arguments)
    assert counts == [2, 2, 4, 4, 2, 2, 0, 1, 0]
    assert_close(moved, 0.5 * 2.0 * X.astype("float64").mean(0), "state", "float32")


@REAL_LAYER_HERE
@pytest.mark.parametrize("dynamic", [False, True])
def test_the_real_layer_finds_the_same_updates(dynamic: bool) -> None:
    real = counts_by_input(real_layer().layer, False, dynamic)
    ours = counts_by_input(BatchNormalization, False, dynamic)
    assert real[0] == ours[0]
    assert_close(ours[1], real[1], "state", "float32")


def test_the_updates_of_a_variable_that_was_normalized_move_the_statistics(session: Any) -> None:
    variable = tf.get_variable("inputs", initializer=X)
    layer = BatchNormalization(momentum=0.5)
    layer(variable, training=True)
    session.run(tf.global_variables_initializer())
    session.run(layer.get_updates_for(variable))
    assert_close(session.run(layer.moving_mean), 0.5 * X.mean(0), "state", "float32")
    assert_close(session.run(layer.moving_variance), 0.5 + 0.5 * X.var(0), "state", "float32")


@pytest.mark.parametrize("inputs", [3, "x", X, [None, 3]], ids=["int", "str", "array", "list"])
def test_what_no_op_depends_on_is_refused(inputs: Any) -> None:
    layer = BatchNormalization()
    layer(tf.constant(X), training=True)
    with pytest.raises(TypeError, match="`inputs`(?s:.*)Expected Operation, Variable, or Tensor"):
        layer.get_updates_for(inputs)


class _WithLosses(BatchNormalization):
    def call(self, inputs: Any, training: Any = False) -> Any:
        self.add_loss(tf.reduce_sum(inputs), inputs=inputs)
        self.add_loss([tf.constant(2.0), 8.0, None])
        self.add_loss(lambda: tf.constant(4.0))
        self.add_loss(tf.reduce_sum(inputs) * 3.0, inputs=True)
        self.add_update([tf.identity(inputs), lambda: tf.no_op()])
        return super().call(inputs, training=training)


def test_losses_and_a_subclass_own_updates_are_found_by_input(session: Any) -> None:
    ancestor, other = tf.constant(X), tf.constant(1.0)
    x = ancestor * 1.0
    layer = _WithLosses(gamma_regularizer=lambda gamma: 16.0 + tf.reduce_sum(gamma))
    layer(x, training=True)
    session.run(tf.global_variables_initializer())

    for inputs in (x, [x], ancestor):
        found = session.run(layer.get_losses_for(inputs))
        assert_close(np.array(found), np.array([X.sum(), 3 * X.sum()]), "output", "float32")
        assert len(layer.get_updates_for(inputs)) == 3
    assert layer.get_losses_for(other) == [] == layer.get_updates_for(other)
    assert session.run(layer.get_losses_for(None)) == [2.0, 8.0, 19.0, 4.0]
    assert len(layer.get_updates_for(None)) == 1
    collected = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert len(collected) == 6 == len(layer.losses) and set(collected) == set(layer.losses)


def test_an_activity_regularizer_counts_per_row(session: Any) -> None:
    layer = BatchNormalization(
        activity_regularizer=lambda y: tf.reduce_sum(tf.square(y)) + 1.0, name="bn"
    )
    x = tf.constant(X)
    y = layer(x)
    session.run(tf.global_variables_initializer())
    (loss,) = layer.losses
    assert loss.op.name == "bn/ActivityRegularizer/truediv"
    assert layer.get_losses_for(x) == [loss] and layer.get_losses_for(None) == []
    value, outputs = session.run([loss, y])
    assert_close(value, ((outputs**2).sum() + 1.0) / 6.0, "output", "float32")
    layer.activity_regularizer = None
    layer(x)
    assert layer.losses == [loss]


def test_weights_are_read_and_written_without_an_op(session: Any) -> None:
    layer = BatchNormalization(name="bn", renorm=True)
    assert layer.get_weights() == [] and layer.set_weights([]) is None
    layer.build([None, 3])
    # Nothing has initialized them yet, and TF1 does so by itself.
    np.testing.assert_array_equal(layer.get_weights()[:2], [[1.0] * 3, [0.0] * 3])
    operations = len(tf.get_default_graph().get_operations())
    wanted = [np.arange(3) + 10.0 * index for index in range(7)]

    layer.set_weights(wanted)

    for value, variable, expected in zip(layer.get_weights(), layer.weights, wanted):
        np.testing.assert_array_equal(value, expected.astype("float32"))
        np.testing.assert_array_equal(session.run(variable), value)
    assert len(tf.get_default_graph().get_operations()) == operations


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values[:3], "length 3, but the layer was expecting 4"),
        (lambda values: [], "length 0, but the layer was expecting 4"),
        (lambda values: [*values[:3], np.zeros(4)], r"\(3,\) not compatible with.*\(4,\)"),
        (lambda values: [np.zeros([3, 1]), *values[1:]], r"not compatible with.*\(3, 1\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_any_is_written(
    change: Any, words: str, session: Any
) -> None:
    layer = BatchNormalization()
    layer.build([None, 3])
    session.run(tf.global_variables_initializer())
    before = layer.get_weights()
    with pytest.raises(ValueError, match=words):
        layer.set_weights(change([value + 1.0 for value in before]))
    np.testing.assert_array_equal(layer.get_weights(), before)


def test_without_a_session_there_are_no_values() -> None:
    layer = BatchNormalization()
    layer.build([None, 3])
    with pytest.raises(RuntimeError, match="`get_weights` needs the session"):
        layer.get_weights()
    with pytest.raises(RuntimeError, match="`set_weights` needs the session"):
        layer.set_weights([np.zeros(3)] * 4)


def test_the_spec_of_the_input_is_told_and_taken() -> None:
    layer = BatchNormalization(axis=[1, 3])
    assert layer.input_spec is None
    layer.build([None, 3, 4, 5])
    assert (layer.input_spec.ndim, layer.input_spec.axes) == (4, {1: 3, 3: 5})
    assert repr(layer.input_spec) == "InputSpec(ndim=4, axes={1: 3, 3: 5})"
    spec = layer.input_spec._replace(ndim=None, axes={2: 6})
    layer.input_spec = spec
    assert layer.input_spec is spec
    layer(tf.zeros([2, 3, 6, 5]))
    with pytest.raises(ValueError, match="incompatible with the layer.*axis 2.*value 6"):
        layer(tf.zeros([2, 3, 4, 5]))
    with pytest.raises(TypeError, match="`input_spec`.*'rows'"):
        layer.input_spec = "rows"


@pytest.mark.parametrize("spec", [{"min_ndim": 3}, {"max_ndim": 1}, {"ndim": 3}, {"shape": [6, 4]}])
def test_each_demand_of_a_spec_is_checked(spec: Any) -> None:
    layer = BatchNormalization()
    layer.build([None, 3])
    layer.input_spec = type(layer.input_spec)(**spec)
    with pytest.raises(
        ValueError, match=f"incompatible with the layer: expected {next(iter(spec))}"
    ):
        layer(tf.constant(X))


def test_a_layer_is_in_no_model() -> None:
    layer = BatchNormalization()
    layer(tf.constant(X))
    assert layer.inbound_nodes == [] == layer.outbound_nodes == layer.metrics
    assert layer.graph is None and layer.dynamic is False and layer.stateful is False
    for name in ("input", "output"):
        for what in ("", "_mask", "_shape"):
            assert not hasattr(layer, name + what)
            with pytest.raises(RuntimeError, match=f"no defined {name}"):
                getattr(layer, f"get_{name}{what}_at")(0)
    mask = tf.constant(True)
    assert layer.compute_mask(X) is None and layer.compute_mask(X, mask) is mask
    assert layer.compute_output_shape((None, 3)) == (None, 3)
    signature = layer.compute_output_signature(tf.TensorSpec([2, 3], tf.float16))
    assert (signature.shape.as_list(), signature.dtype) == ([2, 3], tf.float32)
    with pytest.raises(TypeError, match="`input_signature`.*TensorSpec"):
        layer.compute_output_signature([2, 3])


def test_the_name_scope_is_that_of_the_calls() -> None:
    class Layer(BatchNormalization):
        @tf.Module.with_name_scope
        def double(self, x: Any) -> Any:
            return tf.multiply(x, 2.0, name="double")

    layer = Layer(name="bn")
    with pytest.raises(AttributeError, match="'bn' has no name scope yet"):
        layer.name_scope  # noqa: B018
    with tf.name_scope("around"):
        layer(tf.constant(X))
    assert layer.double(X).op.name == "around/bn/double"


@pytest.mark.parametrize("cls", [BatchNormalization, SyncBatchNormalization])
def test_a_built_layer_says_why_it_cannot_be_copied(cls: Any) -> None:
    layer = cls(name="bn")
    layer(tf.constant(X))
    with pytest.raises(
        TypeError, match=r"'bn' has variables.*from_config.*_scope=layer.scope_name"
    ):
        copy.deepcopy([layer])
    assert copy.copy(layer).gamma is layer.gamma


def test_an_unbuilt_layer_can_be_copied_whatever_it_holds(session: Any) -> None:
    layer = BatchNormalization(momentum=tf.constant(0.5), name="bn", gamma_regularizer="l2")
    layer.note = {"made": [1, 2]}
    copied, restored = copy.deepcopy(layer), pickle.loads(pickle.dumps(BatchNormalization(axis=1)))
    assert copied.momentum is layer.momentum and copied.note == layer.note is not copied.note
    assert restored.axis == 1 and not restored.built
    copied(tf.constant(X), training=True)
    session.run(tf.global_variables_initializer())
    session.run(copied.updates)
    assert_close(session.run(copied.moving_mean), 0.5 * X.mean(0), "state", "float32")
    assert not layer.built and layer.variables == [] and layer.updates == []


def test_attributes_stay_what_they_were_set_to() -> None:
    layer = BatchNormalization(axis=[1, 3], renorm=True, renorm_clipping={"rmax": 3.0})
    layer.sizes, layer.options, layer.pair = [1, 2], {"a": [1]}, (1, 2)
    layer(tf.zeros([2, 3, 4, 5]), training=True)
    layer.kept = [layer.gamma]
    for value, kind in (
        (layer.axis, list),
        (layer.renorm_clipping, dict),
        (layer.sizes, list),
        (layer.options, dict),
        (layer.pair, tuple),
        (layer.kept, list),
    ):
        assert type(value) is kind


def test_what_a_subclass_holds_besides_weights_is_tracked(session: Any, tmp_path: Any) -> None:
    layer = BatchNormalization(momentum=tf.get_variable("momentum", initializer=0.5))
    layer(tf.constant(X))
    layer.extra = tf.get_variable("extra", initializer=[1.0, 2.0], use_resource=True)
    layer.children = {"first": BatchNormalization(scale=False)}
    layer.children["first"](tf.constant(X))
    layer.again = layer.gamma
    session.run(tf.global_variables_initializer())
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "saved"), session=session)
    keys = tf.train.NewCheckpointReader(path).get_variable_to_shape_map()
    own = ("beta", "gamma", "moving_mean", "moving_variance", "extra")
    child = ("beta", "moving_mean", "moving_variance")
    expected = [f"layer/{name}" for name in own]
    expected += [f"layer/children/first/{name}" for name in child]
    found = [key[: -len("/.ATTRIBUTES/VARIABLE_VALUE")] for key in keys if "layer/" in key]
    assert sorted(found) == sorted(expected)


def test_a_build_of_a_subclass_may_set_the_variables_itself(session: Any) -> None:
    class Own(BatchNormalization):
        def build(self, input_shape: Any) -> None:
            for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                value = 3.0 if name == "gamma" else float(name == "moving_variance")
                make = tf.constant_initializer(value)
                setattr(self, name, self.add_variable(f"my_{name}", [3], initializer=make))
            self.built = True

    layer = Own(name="bn")
    y = layer(tf.constant(X))
    session.run(tf.global_variables_initializer())
    assert_close(session.run(y), 3.0 * X / np.sqrt(1.0 + 1e-3), "output", "float32")
    assert layer.gamma.op.name == "bn/my_gamma"


def test_no_layer_keeps_its_graph_alive() -> None:
    with tf.Graph().as_default() as graph:
        layer = BatchNormalization(gamma_regularizer="l2")
        layer(tf.constant(X), training=True)
        tf.train.Checkpoint(layer=layer)
    alive = weakref.ref(graph)
    del graph, layer
    gc.collect()
    assert alive() is None


SAVED_MODEL = """
import sys
import numpy as np
import tensorflow as tf2
import tensorflow.compat.v1 as tf
import tf1_bn

tf.enable_v2_behavior()
spec = [tf.TensorSpec([None, 3], tf.float32)]
module = tf.Module()
module.bn = tf1_bn.BatchNormalization(name="bn")
wrapped = tf.wrap_function(lambda x: module.bn(x), spec)
module.f = tf2.function(lambda x: wrapped(x), input_signature=spec)
module.bn.set_weights([np.arange(3) + 10.0 * (index + 1) for index in range(4)])
tf2.saved_model.save(module, sys.argv[1], signatures=module.f)
loaded = getattr(tf.saved_model, "load_v2", tf2.saved_model.load)(sys.argv[1])
x = tf.constant(np.arange(12.0).reshape(4, 3), tf.float32)
np.testing.assert_array_equal(loaded.f(x).numpy(), module.f(x).numpy())
np.testing.assert_array_equal(loaded.bn.moving_mean.numpy(), [30.0, 31.0, 32.0])
print(module.bn.get_weights()[3].tolist())
"""


@pytest.mark.slow
def test_a_saved_model_of_a_module_has_the_variables(tmp_path: Any) -> None:
    done = run_python("-W", "ignore", "-c", SAVED_MODEL, str(tmp_path / "model"))
    assert done.returncode == 0 and done.stdout.strip() == "[40.0, 41.0, 42.0]", done.stderr
