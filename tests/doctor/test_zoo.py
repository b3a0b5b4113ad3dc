"""Each broken program is found by its code, and no correct one gets a warning."""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any, Iterable

import pytest

import tf1_bn
from tests.doctor import idioms, zoo
from tests.doctor.zoo import BROKEN, CORRECT, OF_NO_KERNEL, Layer, Program, classic, minimized
from tf1_bn._src.runtime.tensorflow_v1 import tf


def by_contrib(function: Any) -> Layer:
    """A layer of contrib or slim that takes the arguments of tf.layers."""

    def layer(x: Any, training: Any, name: str, axis: int = -1, **kwargs: Any) -> Any:
        given = {"momentum": "decay", "reuse": "reuse", "trainable": "trainable"}
        others = {given[key]: value for key, value in kwargs.items()}
        layout = "NCHW" if axis == 1 else "NHWC"
        return function(
            x, is_training=training, scope=name, scale=True, data_format=layout, **others
        )

    return layer


def layers() -> dict[str, Layer]:
    """All that this TensorFlow has."""
    found: dict[str, Layer] = {
        "tf1_bn": tf1_bn.batch_normalization,
        "tf1_bn.contrib": by_contrib(tf1_bn.contrib.batch_norm),
        "tf1_bn, composed": functools.partial(tf1_bn.batch_normalization, fused=False),
        "tf1_bn, in renorm": functools.partial(tf1_bn.batch_normalization, renorm=True),
    }
    version = tuple(map(int, tf.__version__.split(".")[:2])) if hasattr(tf, "__version__") else ()
    if version < (2, 16):
        found["tf.layers"] = tf.layers.batch_normalization
        found["tf.layers, composed"] = functools.partial(tf.layers.batch_normalization, fused=False)
    if version < (2, 0):
        contrib = importlib.import_module("tensorflow.contrib")
        found["contrib"] = by_contrib(contrib.layers.batch_norm)
    return found


LAYERS = layers()
# Notes whose pages say that they guess, and which correct programs may get.
GUESSES = {"BN301", "BN304", "BN310", "BN312", "BN313"}
NOTES = {
    "frozen_statistics": {"BN104"},
    "gan_discriminator_step": {"BN304"},
    "gan_discriminator_step_with_a_phase": {"BN304"},
    "hook_that_groups": {"BN301"},
    "maml": {"BN301"},
}


def findings(program: Program, layer: Layer) -> Any:
    with tf.Graph().as_default():
        return tf1_bn.check(**program(layer))


def pairs(programs: Iterable[str]) -> list[Any]:
    """Each program by each layer, and by its other kernels where they count."""
    return [
        pytest.param(name, library, marks=[] if library == "tf1_bn" else [pytest.mark.slow])
        for name in programs
        for library in LAYERS
        if ", " not in library or name not in OF_NO_KERNEL
    ]


@pytest.mark.filterwarnings("ignore:The update ops of 'bn' stand inside")
@pytest.mark.parametrize("name, library", pairs(BROKEN))
def test_a_broken_program_is_found_by_its_code(name: str, library: str) -> None:
    program, code = BROKEN[name]
    found = findings(program, LAYERS[library])
    assert code in {each.code for each in found}, str(found)
    # Nothing else is certain but what is wrong.
    assert {each.code for each in found.of("warning", "error")} <= {code}, str(found)


@pytest.mark.parametrize("name, library", pairs(CORRECT))
def test_a_correct_program_gets_no_warning(name: str, library: str) -> None:
    found = findings(CORRECT[name], LAYERS[library])
    assert found.of("warning", "error") == (), str(found)
    assert {each.code for each in found} <= NOTES.get(name, set()), str(found)


@pytest.mark.parametrize("name", idioms.BROKEN)
def test_a_broken_idiom_is_found_by_its_code(name: str) -> None:
    program, code = idioms.BROKEN[name]
    with tf.Graph().as_default():
        found = tf1_bn.check(**program())
    assert code in {each.code for each in found}, str(found)
    assert {each.code for each in found.of("warning", "error")} <= {code}, str(found)


@pytest.mark.parametrize("name", idioms.CORRECT)
def test_a_correct_idiom_gets_no_warning(name: str) -> None:
    with tf.Graph().as_default():
        found = tf1_bn.check(**idioms.CORRECT[name]())
    assert found.of("warning", "error") == (), str(found)
    assert not {each.code for each in found} - GUESSES, str(found)


@pytest.mark.parametrize(
    "program",
    [idioms.in_place_in_a_loop, idioms.mirrored, idioms.by_hand_in_two_phases],
    ids=lambda program: program.__name__,
)
def test_a_step_that_is_wired(program: Any) -> None:
    with tf.Graph().as_default():
        tf1_bn.assert_wired(program()["train_op"])


def test_what_trains_nothing_is_not_wired() -> None:
    with tf.Graph().as_default():
        given = classic(tf1_bn.batch_normalization)
        tf1_bn.assert_wired(given["train_op"], given["loss"], saver=given["saver"])
        for nothing in (None, [], {"a": ()}):
            with pytest.raises(TypeError, match="`train_op` must be what one step"):
                tf1_bn.assert_wired(nothing)
        for idle in (given["loss"], tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            with pytest.raises(ValueError, match="`train_op` must train: it changes no variable"):
                tf1_bn.assert_wired(idle)
        with pytest.raises(TypeError, match="`ignore` must be codes, in a list"):
            tf1_bn.check(given["train_op"], ignore=5)
        step = minimized(given["loss"])
        with pytest.raises(AssertionError, match="not wired:\nBN301 note: bn1, bn2: "):
            tf1_bn.assert_wired(step)


@pytest.mark.parametrize(
    "program, scope",
    [
        (zoo.collected_with_a_scope, "encoder"),
        (zoo.gan_that_collects_of_its_generator_alone, "generator"),
        (zoo.collected_before_the_last, ""),
    ],
)
def test_a_scope_that_leaves_layers_out_is_named(program: Program, scope: str) -> None:
    (found,) = findings(program, tf1_bn.batch_normalization)
    known = re.search("those that it runs are all in the scope '(.*)'", found.wrong)
    assert (known.group(1) if known else "") == scope
    assert ("with a scope that holds these layers" in found.mend) == bool(scope)
