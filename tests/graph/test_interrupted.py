"""A call that raises in mid-build leaves nothing, and the same call after it works as ever."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import weakref
from typing import Any, Callable, NamedTuple

import pytest

import tf1_bn
from tests.conftest import make_session
from tests.graph.line_interrupts import BUILDS, clean, faults, spread
from tests.graph.support import Snapshot, distinct, set_distinct_state, tf


class Boom(ValueError):
    """A user's own error, of a kind that TensorFlow raises, too."""


class Faulty:
    """Calls a function, and raises at the n-th call of all until it is repaired."""

    def __init__(self, function: Callable[..., Any], at: int = 1, error: Any = None) -> None:
        self.function, self._left, self.error = function, at, error or Boom("mine")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if not self._left:
            raise self.error
        return self.function(*args, **kwargs)


class Fault(NamedTuple):
    """What is faulty: arguments of the call, and of the variable scope around it."""

    arguments: dict
    scope: dict
    renorm: bool = False


def _zeros(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
    return tf.zeros(shape, dtype or tf.float32)


def _ones(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
    return tf.ones(shape, dtype or tf.float32)


def _half(variable: Any) -> Any:
    return 0.5 * tf.reduce_sum(variable)


def _getter(getter: Any, *args: Any, **kwargs: Any) -> Any:
    return getter(*args, **kwargs)


def _adjust(shape: Any) -> Any:
    return tf.ones([shape[0], 1]), tf.zeros([shape[0], 1])


FAULTS = {
    "gamma_initializer": lambda e: Fault({"gamma_initializer": Faulty(_ones, error=e)}, {}),
    "beta_initializer": lambda e: Fault({"beta_initializer": Faulty(_zeros, error=e)}, {}),
    "moving_mean_initializer": lambda e: Fault(
        {"moving_mean_initializer": Faulty(_zeros, error=e)}, {}
    ),
    "moving_variance_initializer": lambda e: Fault(
        {"moving_variance_initializer": Faulty(_ones, error=e)}, {}
    ),
    "renorm_mean's initializer": lambda e: Fault(
        {"moving_mean_initializer": Faulty(_zeros, 2, e)}, {}, True
    ),
    "renorm_stddev's initializer": lambda e: Fault(
        {"moving_variance_initializer": Faulty(_ones, 3, e)}, {}, True
    ),
    "gamma_regularizer": lambda e: Fault({"gamma_regularizer": Faulty(_half, error=e)}, {}),
    "beta_regularizer": lambda e: Fault(
        {"gamma_regularizer": _half, "beta_regularizer": Faulty(_half, error=e)}, {}
    ),
    "scope's regularizer, first": lambda e: Fault({}, {"regularizer": Faulty(_half, 1, e)}),
    "scope's regularizer, third": lambda e: Fault(
        {"beta_regularizer": _half}, {"regularizer": Faulty(_half, 3, e)}
    ),
    "getter, first": lambda e: Fault({}, {"custom_getter": Faulty(_getter, 1, e)}),
    "getter, fourth": lambda e: Fault({}, {"custom_getter": Faulty(_getter, 4, e)}),
    "adjustment": lambda e: Fault({"adjustment": Faulty(_adjust, error=e)}, {}),
}


def _facts(graph: Any) -> dict:
    """The names of what stands in the collections."""
    return {
        key: [getattr(item, "name", item) for item in graph.get_collection(key)]
        for key in graph.get_all_collection_keys()
    }


def _functional(x: Any, fault: Fault) -> Any:
    return tf1_bn.batch_normalization(
        x, training=True, name="bn", renorm=fault.renorm, **fault.arguments
    )


def _unnamed(x: Any, fault: Fault) -> Any:
    return tf1_bn.batch_normalization(x, training=True, renorm=fault.renorm, **fault.arguments)


class _OneLayer:
    """The class, whose object is called again."""

    def __init__(self) -> None:
        self.layer: Any = None

    def __call__(self, x: Any, fault: Fault) -> Any:
        if self.layer is None:
            self.layer = tf1_bn.BatchNormalization(
                name="bn", renorm=fault.renorm, **fault.arguments
            )
        return self.layer(x, training=True)


USES = {
    "functional": (lambda: _functional, False, Boom("mine")),
    "functional, shared": (lambda: _functional, tf.AUTO_REUSE, Boom("mine")),
    "unnamed": (lambda: _unnamed, False, Boom("mine")),
    "class, Ctrl-C": (_OneLayer, False, KeyboardInterrupt()),
}


def _without_fault(fault: str) -> Fault:
    """The same call where nothing raises."""
    faulty = FAULTS[fault](None)
    arguments, scope = (
        {key: getattr(value, "function", value) for key, value in part.items()}
        for part in faulty[:2]
    )
    return Fault(arguments, scope, faulty.renorm)


def _trained(y: Any) -> tuple:
    """What one step of all updates gives, from a state in which all values differ."""
    with make_session() as session:
        set_distinct_state(session)
        output, _ = session.run([y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
        return output, session.run({v.op.name: v for v in tf.global_variables()})


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_leaves_nothing_and_can_be_repeated(fault: str, use: str) -> None:
    make, reuse, error = USES[use]
    faulty = FAULTS[fault](error)
    with tf.Graph().as_default() as graph:
        x = tf.constant(distinct(7, 5))
        tf.get_variable("own", [2])
        before = Snapshot.of(graph).collections
        call = make()
        with tf.variable_scope("net", reuse=reuse, **faulty.scope):
            with pytest.raises(type(error)) as raised:
                call(x, faulty)
            assert raised.value is error
            assert Snapshot.of(graph).collections == before

            y = call(x, faulty)
        facts, (found, state) = _facts(graph), _trained(y)

    good = _without_fault(fault)
    with tf.Graph().as_default() as other:
        x = tf.constant(distinct(7, 5))
        tf.get_variable("own", [2])
        with tf.variable_scope("net", reuse=reuse, **good.scope):
            y = make()(x, good)
        clean, (expected, wanted) = _facts(other), _trained(y)

    assert {key: len(items) for key, items in facts.items()} == {
        key: len(items) for key, items in clean.items()
    }
    for key in (tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.TRAINABLE_VARIABLES):
        assert facts[key] == clean[key]
    assert (found == expected).all()
    assert all((state[name] == wanted[name]).all() for name in wanted)


def _left() -> Any:
    """Fails at the last variable, so that three are left; gives the input of that call."""
    x = tf.placeholder(tf.float32, [None, 5])
    faulty = Faulty(_ones)
    with pytest.raises(Boom):
        tf1_bn.batch_normalization(x, name="bn", moving_variance_initializer=faulty)
    return x


OTHERS = {
    "shape": lambda x: tf1_bn.batch_normalization(tf.zeros([7, 6]), name="bn"),
    "initializer": lambda x: tf1_bn.batch_normalization(
        x, name="bn", gamma_initializer=tf.constant_initializer(2.0)
    ),
    "trainable": lambda x: tf1_bn.batch_normalization(x, name="bn", trainable=False),
    "dtype": lambda x: tf1_bn.batch_normalization(tf.cast(x, tf.float64), name="bn"),
    "collections": lambda x: tf1_bn.contrib.batch_norm(x, scope="bn", scale=True),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_call_does_not_take_what_was_left(what: str) -> None:
    x = _left()

    for _ in range(2):
        with pytest.raises(ValueError, match=f"left by a call that failed.* {what}="):
            OTHERS[what](x)
    assert tf.global_variables() == []
    with pytest.raises(ValueError, match="left it, and counts as not made"):
        tf1_bn.batch_normalization(x, name="bn", reuse=True)

    # Nor does it spoil it for the right one.
    y = tf1_bn.batch_normalization(x, name="bn", moving_variance_initializer=_ones)
    assert y.op.name == "bn/batchnorm/add_1"
    assert len(tf.global_variables()) == 4


def test_what_was_left_is_taken_once_and_said_at_debug_level(caplog: Any) -> None:
    x = _left()

    with caplog.at_level(logging.DEBUG, "tf1_bn"):
        tf1_bn.batch_normalization(x, name="bn", moving_variance_initializer=_ones)

    said = [r.getMessage() for r in caplog.records if "taken over" in r.getMessage()]
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    assert said == [f"bn/{name}: taken over from a call that failed" for name in names]
    with pytest.raises(ValueError, match="bn/gamma already exists"):
        tf1_bn.batch_normalization(x, name="bn", moving_variance_initializer=_ones)


@pytest.mark.parametrize("v2", [False, True], ids=["v1", "v2"])
def test_a_call_that_fails_in_a_branch_can_be_repeated(v2: bool) -> None:
    enabled = tf.control_flow_v2_enabled()
    x, faulty = tf.placeholder(tf.float32, [7, 5]), Faulty(_ones)

    def layer() -> Any:
        with tf1_bn.updates("in_place"), tf.variable_scope("net", use_resource=True):
            return tf1_bn.batch_normalization(
                x, training=True, name="bn", moving_variance_initializer=faulty
            )

    (tf.enable_control_flow_v2 if v2 else tf.disable_control_flow_v2)()
    try:
        phase = tf.placeholder_with_default(True, [])
        with pytest.raises(Boom):
            tf.cond(phase, layer, lambda: x)
        assert tf.global_variables() == []
        tf.cond(phase, layer, lambda: x)
    finally:
        (tf.enable_control_flow_v2 if enabled else tf.disable_control_flow_v2)()

    names = [variable.op.name for variable in tf.global_variables()]
    assert names == [f"net/bn/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")]


def test_a_subclass_that_fails_is_as_before() -> None:
    class Sub(tf1_bn.BatchNormalization):
        fails = True

        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.extra = self.add_weight("extra", [5], initializer=tf.ones_initializer())

        def _moments(self, inputs: Any, axes: Any, keep_dims: bool, mask: Any = None) -> Any:
            if self.fails:
                raise Boom("moments")
            return super()._moments(inputs, axes, keep_dims)

    layer, x = Sub(name="sub"), tf.placeholder(tf.float32, [7, 5])
    with pytest.raises(Boom):
        layer(x, training=True)
    assert not layer.built and not layer.variables and not hasattr(layer, "extra")

    Sub.fails = False
    layer(x, training=True)
    assert [v.op.name for v in layer.variables].count("sub/extra") == 1
    updates = list(layer.updates)
    Sub.fails = True
    with pytest.raises(Boom):
        layer(x, training=True)
    assert layer.updates == updates == tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_what_others_made_in_the_call_stays_where_it_is_found() -> None:
    """Their variables are shared by name, so the collections must tell of them."""

    def adjustment(shape: Any) -> Any:
        tf.get_variable("own", [3])
        raise Boom("adjustment")

    with pytest.raises(Boom):
        tf1_bn.batch_normalization(
            tf.zeros([7, 5]), training=True, name="bn", adjustment=adjustment
        )
    assert [variable.op.name for variable in tf.global_variables()] == ["bn/own"]


def test_what_is_left_does_not_keep_the_graph() -> None:
    with tf.Graph().as_default() as graph:
        _left()
    reference = weakref.ref(graph)

    del graph
    gc.collect()

    assert reference() is None


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_a_build_interrupted_at_any_line_leaves_nothing(build: Any) -> None:
    """`python -m tests.graph.line_interrupts 500` tries more of the lines."""
    expected = clean(build)

    found = [fault for at in spread(build, 9) for fault in faults(build, at, expected)]

    assert found == []
    assert threading.active_count() == 1


@pytest.mark.parametrize("at", range(1, 13))
def test_the_parts_of_a_variable_are_taken_whole_or_refused(at: int) -> None:
    """Every part is regularized once; of some parts only, the error names them."""
    faulty = Faulty(_half, at, KeyboardInterrupt())
    partitioner = tf.fixed_size_partitioner(2)

    def build() -> Any:
        with tf.variable_scope("s", partitioner=partitioner, regularizer=faulty):
            return tf1_bn.batch_normalization(distinct(7, 6), training=True, name="bn")

    with tf.Graph().as_default():
        with contextlib.suppress(KeyboardInterrupt):
            build()
            # TF 1.15 and later ones call the regularizer another number of times.
            return
        parts = [v.op.name for v in tf.global_variables() if "/part_" in v.op.name]
        try:
            build()
        except ValueError as error:
            assert "has left some parts only (s/bn/" in str(error) and "use another `name`" in str(
                error
            )
            assert not parts
            return
        names = {v.op.name for v in tf.global_variables()}
        losses = [loss.op.name.split("/Regularizer")[0] for loss in _losses()]
        assert len(names) == 6 and sorted(losses) == sorted(names)


def _losses() -> list:
    return tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)


def test_an_interrupt_in_the_making_of_a_resource_variable(monkeypatch: Any) -> None:
    """TensorFlow collects the variable before it has its handle."""
    real = tf.Graph.add_to_collections

    def ctrl_c(self: Any, names: Any, value: Any) -> None:
        real(self, names, value)
        if tf.GraphKeys.GLOBAL_VARIABLES in list(names):
            raise KeyboardInterrupt

    def build() -> Any:
        with tf.variable_scope("q", use_resource=True):
            return tf1_bn.batch_normalization(distinct(7, 6), training=True, name="bn")

    with monkeypatch.context() as patched:
        patched.setattr(tf.Graph, "add_to_collections", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            build()
    for _ in range(2):
        with pytest.raises(
            ValueError, match="'q/bn/gamma' was left by a call that was interrupted"
        ):
            build()
