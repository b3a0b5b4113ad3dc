"""Differentiates what `ways_export` has written, and imports tf1_bn only where told to.

`python -m tests.graph.ways_stranger graphs|models FOLDER never|before|after FILE`: before or after
TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
if sys.argv[3] == "before":
    importlib.import_module("tf1_bn")

import numpy as np
import tensorflow.compat.v1 as tf

from tests.graph.ways_cases import EXPORTED, data_of

if sys.argv[3] == "after":
    importlib.import_module("tf1_bn")


def graphs(folder: str) -> dict:
    """Gradients of every graph, or what was said instead; the loss in any case."""
    tf.disable_v2_behavior()
    found = {}
    for kernel in EXPORTED:
        for phase in ("True", "fed"):
            with tf.Graph().as_default() as graph, tf.Session() as session:
                tf.train.import_meta_graph(os.path.join(folder, f"{kernel}, {phase}.meta"))
                x, loss = graph.get_tensor_by_name("x:0"), graph.get_tensor_by_name("loss:0")
                session.run(tf.global_variables_initializer())
                fed = {x: data_of(kernel).x}
                found[f"{kernel} | {phase} | loss"] = session.run(loss, fed)
                try:
                    sources = [x, *tf.trainable_variables()]
                    slopes = dict(zip(("x", "gamma", "beta"), tf.gradients(loss, sources)))
                    for name, value in session.run(slopes, fed).items():
                        found[f"{kernel} | {phase} | {name}"] = value
                except LookupError as error:
                    found[f"{kernel} | {phase} | error"] = np.array(str(error))
    return found


def models(folder: str) -> dict:
    """Gradients of every loaded function under a tape."""
    tf.enable_v2_behavior()
    found = {}
    for kernel in EXPORTED:
        for phase in ("True", "fed"):
            model = tf.saved_model.load_v2(os.path.join(folder, f"{kernel}, {phase}"))
            x = tf.constant(data_of(kernel).x, tf.float32)
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = model.loss(x) if phase == "True" else model.loss(x, tf.constant(True))
            slopes = tape.gradient(loss, [x, model.gamma, model.beta])
            for name, value in zip(("loss", "x", "gamma", "beta"), [loss, *slopes]):
                found[f"{kernel} | {phase} | {name}"] = value.numpy()
    return found


def main(kind: str, folder: str, when: str, path: str) -> None:
    found = {"graphs": graphs, "models": models}[kind](folder)
    assert ("tf1_bn" in sys.modules) == (when != "never")
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
