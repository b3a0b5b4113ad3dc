"""Arguments of contrib's layer, and numbers out of range: said where the program calls."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.graph.support import tf

SLIM = {"is_training": True, "decay": 0.9, "updates_collections": None}


def built(make: Any, **arguments: Any) -> Any:
    with tf.Graph().as_default() as graph:
        make(tf.placeholder(tf.float32, [None, 3]), **arguments)
    return graph


def of_class(inputs: Any, **arguments: Any) -> Any:
    return tf1_bn.BatchNormalization(**arguments)(inputs)


def of_contrib(inputs: Any, **arguments: Any) -> Any:
    if "momentum" in arguments:
        arguments["decay"] = arguments.pop("momentum")
    return tf1_bn.contrib.batch_norm(inputs, **arguments)


@pytest.mark.parametrize(
    ("make", "phrase"),
    [
        (tf1_bn.batch_normalization, "got an unexpected keyword argument 'is_training'"),
        (of_class, "Keyword argument not understood: ['decay', 'is_training', "),
    ],
)
def test_arguments_of_contrib_lead_there(make: Any, phrase: str) -> None:
    with tf.Graph().as_default() as graph:
        inputs = tf.placeholder(tf.float32, [None, 3])
        before = len(graph.get_operations())
        with pytest.raises(TypeError) as raised:
            make(inputs, **SLIM)
        assert len(graph.get_operations()) == before
    message = str(raised.value)
    # In the words of TF1 first, for programs that look for them.
    assert phrase in message
    assert (
        "`is_training`, `decay`, `updates_collections`: call tf1_bn.contrib.batch_norm" in message
    )
    assert "the nearest here: `training`, `momentum`." in message


def test_arguments_of_the_layer_lead_there() -> None:
    given = {"training": True, "momentum": 0.9, "name": "bn", "gamma_constraint": abs}
    with pytest.raises(TypeError) as raised:
        built(tf1_bn.contrib.batch_norm, **given)
    assert str(raised.value) == (
        "batch_norm() got an unexpected keyword argument 'training'. "
        "tf.layers.batch_normalization has `training`, `momentum`, `name`, `gamma_constraint`: "
        "call tf1_bn.batch_normalization, which takes its arguments and has its defaults; the "
        "nearest here: `is_training`, `decay`, `scope`."
    )
    with pytest.raises(TypeError, match="'bogus'$"):
        built(tf1_bn.contrib.batch_norm, bogus=1)


def test_every_argument_of_the_layer_alone_is_known() -> None:
    here = set(inspect.signature(tf1_bn.contrib.batch_norm).parameters)
    for name in set(inspect.signature(tf1_bn.batch_normalization).parameters) - here:
        with pytest.raises(TypeError, match="call tf1_bn.batch_normalization"):
            built(tf1_bn.contrib.batch_norm, **{name: None})


@pytest.mark.parametrize("make", [tf1_bn.batch_normalization, tf1_bn.BatchNormalization])
def test_a_flag_in_the_place_of_the_axis(make: Any) -> None:
    """TF1 takes a bool for 0 or 1, and nobody means it."""
    layer = make is tf1_bn.BatchNormalization
    with tf.Graph().as_default():
        before = () if layer else (tf.placeholder(tf.float32, [None, 3]),)
        with pytest.warns(
            UserWarning, match="got True, which counts as 1.*`training=True`"
        ) as told:
            make(*before, True)
        # TensorFlow 1.15 may have a warning of its own.
        assert [each.filename for each in told if "axis" in str(each.message)] == [__file__]
        with pytest.raises(TypeError, match="list of ints .* A flag is for `training`"):
            make(*before, tf.placeholder(tf.bool, []))
        with pytest.raises(TypeError) as raised:
            make(*before, "last")
        assert "training" not in str(raised.value)


def test_install_knows_the_other_spelling() -> None:
    with pytest.raises(TypeError, match="'neighbors'. Did you mean `neighbours`"):
        tf1_bn.install(neighbors=True)
    with pytest.raises(TypeError, match="'neighbour'$"):
        tf1_bn.install(neighbour=True)
    assert list(inspect.signature(tf1_bn.install).parameters) == ["force", "neighbours", "contrib"]


@pytest.mark.parametrize("make", [tf1_bn.batch_normalization, of_class])
def test_other_unknown_arguments_are_refused_as_ever(make: Any) -> None:
    with pytest.raises(TypeError, match="'bogus'") as raised:
        built(make, bogus=1)
    assert "contrib" not in str(raised.value)


def test_every_argument_of_contrib_alone_is_known() -> None:
    here = set(inspect.signature(tf1_bn.batch_normalization).parameters)
    for name in set(inspect.signature(tf1_bn.contrib.batch_norm).parameters) - here:
        with pytest.raises(TypeError, match="tf1_bn.contrib.batch_norm"):
            built(tf1_bn.batch_normalization, **{name: None})


def test_what_catches_the_unknown_is_not_shown() -> None:
    for function in (tf1_bn.batch_normalization, tf1_bn.contrib.batch_norm):
        kinds = {each.kind for each in inspect.signature(function).parameters.values()}
        assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


@pytest.mark.parametrize("make", [tf1_bn.batch_normalization, of_class, of_contrib])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"momentum": 99},
            "`momentum` (`decay` in contrib and slim) should be from 0 to 1 (got 99)",
        ),
        ({"momentum": -0.01}, "(got -0.01)"),
        ({"momentum": np.float32("nan")}, "nan"),
        ({"epsilon": -1e-3}, "`epsilon` should be 0 or more (got -0.001)"),
    ],
    ids=["99", "-0.01", "nan", "epsilon"],
)
def test_one_warning_for_a_call_where_it_is_made(make: Any, arguments: Any, words: str) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        graph = built(make, **arguments)
    (warning,) = [each for each in heard if "should be" in str(each.message)]
    assert warning.category is UserWarning and words in str(warning.message)
    assert warning.filename == __file__
    # TF1 takes them, so the layer is there all the same.
    assert len(graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)) >= 3


def test_renorms_momentum_counts_with_renorm_alone() -> None:
    built(tf1_bn.batch_normalization, renorm_momentum=7.0)
    with pytest.warns(UserWarning, match="`renorm_momentum` .*got 7.0"):
        built(tf1_bn.batch_normalization, renorm=True, renorm_momentum=7.0)


def test_weighted_contrib_warns_as_well() -> None:
    with pytest.warns(UserWarning, match="`decay` in contrib.*got 2.0"):
        built(tf1_bn.contrib.batch_norm, decay=2.0, updates_collections=None, fused=False)


def test_numbers_in_range_and_tensors_say_nothing() -> None:
    """Every other warning is an error here."""
    for momentum in (0, 1, True, 0.0, 1.0, np.float32(1.0)):
        built(tf1_bn.batch_normalization, momentum=momentum, epsilon=0)
    with tf.Graph().as_default():
        inputs = tf.placeholder(tf.float32, [None, 3])
        tf1_bn.batch_normalization(inputs, momentum=tf.constant(5.0), epsilon=tf.constant(-1.0))
