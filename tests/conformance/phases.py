"""The forms in which people pass `training`, each with the way to switch it."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np


class Phase(NamedTuple):
    """A `training` argument: its value, and for dynamic ones how a run is put into a phase."""

    value: Any
    switch: Callable[[Any, bool], dict] = lambda session, training: {}


def _placeholder(tf: Any) -> Phase:
    p = tf.placeholder(tf.bool, [], name="phase")
    return Phase(p, lambda session, training: {p: training})


def _placeholder_no_shape(tf: Any) -> Phase:
    p = tf.placeholder(tf.bool, name="phase")
    return Phase(p, lambda session, training: {p: training})


def _placeholder_with_default(tf: Any) -> Phase:
    p = tf.placeholder_with_default(False, [], name="phase")
    return Phase(p, lambda session, training: {p: True} if training else {})


def _tensor(tf: Any) -> Phase:
    frozen = tf.placeholder(tf.bool, [], name="frozen")
    value = tf.logical_not(frozen, name="phase")
    return Phase(value, lambda session, training: {frozen: not training})


def _equal(tf: Any) -> Phase:
    word = tf.placeholder(tf.string, [], name="word")
    value = tf.equal(word, "train", name="phase")
    return Phase(value, lambda session, training: {word: "train" if training else "test"})


def _variable(tf: Any) -> Phase:
    flag = tf.Variable(
        False, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES], name="phase"
    )

    def switch(session: Any, training: bool) -> dict:
        session.run(flag.initializer, {flag.initializer.inputs[1]: training})
        return {}

    return Phase(flag, switch)


PHASES: dict = {
    "True": lambda tf: Phase(True),
    "False": lambda tf: Phase(False),
    "1": lambda tf: Phase(1),
    "0": lambda tf: Phase(0),
    "1.0": lambda tf: Phase(1.0),
    "np.True_": lambda tf: Phase(np.bool_(True)),
    "np.False_": lambda tf: Phase(np.bool_(False)),
    "constant(True)": lambda tf: Phase(tf.constant(True)),
    "constant(False)": lambda tf: Phase(tf.constant(False)),
    "not(constant(False))": lambda tf: Phase(tf.logical_not(tf.constant(False))),
    "not(constant(True))": lambda tf: Phase(tf.logical_not(tf.constant(True))),
    "identity(constant(True))": lambda tf: Phase(tf.identity(tf.constant(True))),
    "constant(1)": lambda tf: Phase(tf.constant(1)),
    "constant(0)": lambda tf: Phase(tf.constant(0)),
    "None": lambda tf: Phase(None),
    "2": lambda tf: Phase(2),
    "yes": lambda tf: Phase("yes"),
    "[True]": lambda tf: Phase([True]),
    "int32_tensor": lambda tf: Phase(tf.placeholder(tf.int32, [], name="phase")),
    "vector": lambda tf: Phase(tf.placeholder(tf.bool, [2], name="phase")),
    "placeholder": _placeholder,
    "placeholder_no_shape": _placeholder_no_shape,
    "placeholder_with_default": _placeholder_with_default,
    "tensor": _tensor,
    "equal": _equal,
    "variable": _variable,
}

CONSTANT_TRAINING = (
    "True",
    "1",
    "1.0",
    "np.True_",
    "constant(True)",
    "not(constant(False))",
    "identity(constant(True))",
    "constant(1)",
)
DYNAMIC = (
    "placeholder",
    "placeholder_no_shape",
    "placeholder_with_default",
    "tensor",
    "equal",
    "variable",
)


def default_steps(phase: str) -> str:
    """Two training steps then inference where the phase can switch; else what it allows."""
    if phase in DYNAMIC:
        return "TTI"
    return "TT" if phase in CONSTANT_TRAINING else "I"
