"""Writes graphs and saved models of training calls, to be differentiated by a process elsewhere.

`python -m tests.graph.ways_export graphs|models FOLDER`.
"""

from __future__ import annotations

import os
import sys

import tensorflow.compat.v1 as tf

from tests.graph.ways_cases import EXPORTED
from tests.graph.ways_program import Subject


def graphs(folder: str) -> None:
    """A `.meta` file for each kernel and phase; nothing is differentiated in it."""
    tf.disable_v2_behavior()
    for kernel in EXPORTED:
        for phase in ("True", "fed"):
            with tf.Graph().as_default():
                flag = True if phase == "True" else tf.placeholder_with_default(True, [])
                subject = Subject(kernel, flag)
                x = tf.placeholder(tf.float32, subject.x.shape, name="x")
                tf.identity(subject.loss(x), name="loss")
                tf.identity(subject.layer.gamma, name="gamma")
                subject.check_kernel()
                tf.train.export_meta_graph(os.path.join(folder, f"{kernel}, {phase}.meta"))


class _Model(tf.Module):
    """A module that holds the variables and the function of a layer."""

    def __init__(self, subject: Subject, fed: bool) -> None:
        super().__init__()
        self.gamma, self.beta = subject.variables
        self.held = list(subject.layer.variables)
        batch, flag = tf.TensorSpec(subject.x.shape, tf.float32), tf.TensorSpec([], tf.bool)
        if fed:
            self.loss = tf.function(subject.loss, input_signature=[batch, flag], autograph=False)
        else:
            self.loss = tf.function(
                lambda x: subject.loss(x), input_signature=[batch], autograph=False
            )


def models(folder: str) -> None:
    """A saved model for each kernel and phase, written without options."""
    tf.enable_v2_behavior()
    for kernel in EXPORTED:
        for phase in ("True", "fed"):
            subject = Subject(kernel, True)
            tf.wrap_function(subject.build, [])
            model = _Model(subject, phase == "fed")
            tf.saved_model.save(model, os.path.join(folder, f"{kernel}, {phase}"))
            subject.check_kernel()


if __name__ == "__main__":
    {"graphs": graphs, "models": models}[sys.argv[1]](sys.argv[2])
