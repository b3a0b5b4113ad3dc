"""The class beyond what the conformance table covers: hooks, settings, configuration."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import pytest

from tests.graph.support import distinct, set_distinct_state, tf, update_ops
from tests.reference import normalized
from tests.tolerances import assert_close
from tf1_bn import BatchNormalization, batch_normalization

X = distinct(6, 3)


def _inputs() -> Any:
    return tf.constant(X)


class _DoubledMean(BatchNormalization):
    """As synchronized norms of public code override it, from before `mask` existed."""

    def _moments(self, inputs: Any, reduction_axes: Any, keep_dims: bool) -> Any:
        assert isinstance(reduction_axes, list)
        mean, variance = super()._moments(inputs, reduction_axes, keep_dims=keep_dims)
        return 2.0 * mean, variance


class _DoubledMeanWithMask(BatchNormalization):
    """As later public code overrides it."""

    def _moments(self, inputs: Any, reduction_axes: Any, keep_dims: bool, mask: Any = None) -> Any:
        mean, variance = super()._moments(inputs, reduction_axes, keep_dims=keep_dims, mask=mask)
        return 2.0 * mean, variance


@pytest.mark.parametrize("cls", [_DoubledMean, _DoubledMeanWithMask])
@pytest.mark.parametrize("shape", [(6, 3), (2, 1, 3, 3)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_overridden_moments_are_used(cls: Any, shape: Any, dynamic: bool, session: Any) -> None:
    layer = cls(momentum=0.5)
    training = tf.placeholder_with_default(True, []) if dynamic else True
    outputs = layer(tf.reshape(_inputs(), shape), training=training)
    session.run(tf.global_variables_initializer())

    y, _ = session.run([outputs, layer.updates])

    x = X.astype("float64")
    mean, variance = 2 * x.mean(0), x.var(0)
    assert_close(y.reshape(6, 3), (x - mean) / np.sqrt(variance + 1e-3), "output", "float32")
    assert_close(session.run(layer.moving_mean), 0.5 * mean, "state", "float32")
    assert not layer.fused and "_moments" in layer.kernel.reason


def test_a_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="`mask` must be None"):
        BatchNormalization()._moments(_inputs(), [0], True, mask=_inputs())


@pytest.mark.parametrize("before", [True, False])
def test_a_subclass_may_add_weights_before_or_after_the_parents_build(before: bool) -> None:
    class WithExtra(BatchNormalization):
        def build(self, input_shape: Any) -> None:
            if before:
                self.extra = self.add_weight("extra", [2], initializer="ones")
            super().build(input_shape)
            if not before:
                self.extra = self.add_weight("extra", [2], initializer="ones")

    called, built = WithExtra(name="called"), WithExtra(name="built")
    called(_inputs())
    built.build([None, 3])

    for layer in (called, built):
        assert layer.extra.op.name == f"{layer.name}/extra"
        assert layer.extra in layer.trainable_variables
        assert len(layer.variables) == 5


def test_a_subclass_may_override_call(session: Any) -> None:
    class Shifted(BatchNormalization):
        def call(self, inputs: Any, training: Any = False) -> Any:
            return super().call(inputs, training=training) + 100.0

    layer = Shifted()
    outputs = layer(_inputs(), training=True)
    session.run(tf.global_variables_initializer())

    assert_close(session.run(outputs), normalized(X) + 100.0, "output", "float32")
    assert layer.name == "shifted_1" and layer.updates == update_ops()


def test_setting_trainable_later_hides_updates_and_trainables_but_keeps_the_collections() -> None:
    layer = BatchNormalization()
    layer(_inputs(), training=True)
    collected = update_ops()

    layer.trainable = False

    assert layer.updates == [] and layer.trainable_variables == []
    assert layer.non_trainable_variables == [
        layer.gamma,
        layer.beta,
        layer.moving_mean,
        layer.moving_variance,
    ]
    assert update_ops() == collected and len(tf.trainable_variables()) == 2
    layer.trainable = True
    assert layer.updates == collected and layer.trainable_weights == [layer.gamma, layer.beta]


def test_settings_can_be_changed_between_calls_and_are_checked(session: Any) -> None:
    layer = BatchNormalization(momentum=0.9)
    layer(_inputs(), training=True)

    layer.momentum = 0.25
    layer(_inputs(), training=True)
    with pytest.raises(TypeError, match="`momentum`.*'fast'"):
        layer.momentum = "fast"

    assert layer.momentum == 0.25
    session.run(tf.global_variables_initializer())
    session.run(layer.updates[2])
    expected = 0.75 * X.astype("float64").mean(0)
    assert_close(session.run(layer.moving_mean), expected, "state", "float32")


def test_updates_and_losses_are_found_by_input() -> None:
    first, second = _inputs(), _inputs()
    layer = BatchNormalization(gamma_regularizer=tf.reduce_sum)
    layer(first, training=True)
    layer(second, training=True)

    assert layer.get_updates_for(first) == layer.updates[:2]
    assert layer.get_updates_for(second) == layer.updates[2:]
    assert layer.get_updates_for(None) == [] == layer.get_losses_for(first)
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert layer.get_losses_for(None) == layer.losses == losses and len(losses) == 1


def test_a_layer_that_shares_variables_has_their_losses_without_collecting_them() -> None:
    arguments = {"beta_regularizer": lambda beta: tf.reduce_sum(beta) + 1.0, "_scope": "bn"}
    BatchNormalization(**arguments)(_inputs())
    sharing = BatchNormalization(_reuse=True, **arguments)
    sharing(_inputs())
    collected = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)

    assert len(collected) == 1
    assert len(sharing.losses) == 1 and sharing.losses == sharing.losses
    assert tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES) == collected


def test_unnamed_layers_of_the_function_are_counted_once_their_call_is_checked() -> None:
    batch_normalization(_inputs())
    with pytest.raises(ValueError, match="axis"):
        batch_normalization(_inputs(), axis=2)

    assert BatchNormalization().name == "batch_normalization_2"


def test_an_unbuilt_layer_says_so() -> None:
    layer = BatchNormalization()

    assert (layer.built, layer.kernel, layer.gamma, layer.axis) == (False, None, None, -1)
    with pytest.raises(ValueError, match="scope"):
        _ = layer.scope_name
    with pytest.raises(ValueError, match="built"):
        layer.count_params()
    assert "not built" in repr(layer)


def test_a_built_layer_tells_its_kernel() -> None:
    layer = BatchNormalization(renorm=True, fused=True)
    layer(tf.zeros([2, 3, 4, 5]))

    assert "renorm" in layer.kernel.reason and layer.fused is False
    assert "renorm=True" in repr(layer) and layer.kernel.reason in repr(layer)
    assert layer.count_params() == 7 * 5


def _distinct_config() -> dict:
    return {
        "axis": [1],
        "momentum": 0.75,
        "epsilon": 0.25,
        "center": False,
        "gamma_initializer": tf.constant_initializer(3.0),
        "moving_variance_initializer": "ones",
        "gamma_constraint": tf.abs,
        "renorm": True,
        "renorm_clipping": {"rmax": 2.0},
        "renorm_momentum": 0.5,
        "fused": False,
        "virtual_batch_size": 2,
        "trainable": False,
        "name": "configured",
        "dtype": "float32",
    }


@pytest.mark.parametrize("built", [False, True])
def test_a_layer_is_rebuilt_from_its_config(built: bool, session: Any) -> None:
    layer = BatchNormalization(**_distinct_config())
    if built:
        layer(_inputs(), training=True)

    twin = BatchNormalization.from_config(layer.get_config())

    assert twin.get_config() == layer.get_config()
    assert (twin.built, twin.name, twin.gamma_constraint) == (False, "configured", tf.abs)
    twin(_inputs(), training=True)
    session.run(tf.global_variables_initializer())
    np.testing.assert_array_equal(session.run(twin.gamma), np.full([1, 1, 3], 3.0))


def test_a_plain_config_holds_no_renorm_and_no_unset_extras() -> None:
    config = BatchNormalization().get_config()

    assert not [key for key in config if "renorm" in key or key in ("fused", "adjustment")]
    assert config["gamma_initializer"]["class_name"] == "Ones"


def test_an_unbuilt_layer_can_be_copied() -> None:
    layer = BatchNormalization(momentum=0.5)
    twin = copy.deepcopy(layer)

    layer(_inputs())
    twin(_inputs())

    assert twin.momentum == 0.5 and twin.gamma is not layer.gamma


def test_a_variable_or_array_can_be_normalized(session: Any) -> None:
    variable = tf.get_variable("x", initializer=X)
    outputs = [batch_normalization(x, training=True) for x in (X, variable)]
    session.run(tf.global_variables_initializer())

    for found in session.run(outputs):
        assert_close(found, normalized(X), "output", "float32")


def test_call_takes_training_by_position_and_apply_names_the_scope() -> None:
    assert list(inspect.signature(BatchNormalization.call).parameters) == [
        "self",
        "inputs",
        "training",
    ]
    layer = BatchNormalization()
    with tf.variable_scope("outer") as outer:
        pass
    layer.apply(_inputs(), True, scope=outer)

    assert layer.gamma.op.name == "outer/gamma" and len(update_ops()) == 2


def test_a_getter_that_casts_to_half_is_normalized_with(session: Any) -> None:
    def half(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        variable = getter(name, *args, **kwargs)
        return tf.cast(variable, tf.float16) if name.endswith(("gamma", "beta")) else variable

    with tf.variable_scope("cast", custom_getter=half):
        outputs = batch_normalization(tf.reshape(_inputs(), [2, 1, 3, 3]), training=True, name="bn")
    state = set_distinct_state(session)

    gamma, beta = (state[f"cast/bn/{name}"].astype("float16") for name in ("gamma", "beta"))
    expected = normalized(X) * gamma + beta
    assert_close(session.run(outputs).reshape(6, 3), expected, "output", "float32")
