"""What the graph tests share: inputs with distinct channels, and a snapshot of a graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests.conftest import tensorflow

tf = tensorflow()


def distinct(*shape: int, seed: int = 7) -> Any:
    """Random float32 data whose last-axis channels differ in mean and standard deviation."""
    random = np.random.RandomState(seed)
    channels = np.arange(1, shape[-1] + 1)
    return (random.randn(*shape) * channels + 2.0 * channels - 3.0).astype("float32")


class Snapshot(NamedTuple):
    """What a failed call must leave as it was."""

    operations: int
    collections: dict

    @classmethod
    def of(cls, graph: Any) -> Snapshot:
        keys = graph.get_all_collection_keys()
        return cls(len(graph.get_operations()), {key: graph.get_collection(key) for key in keys})


def update_ops() -> list:
    return tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def set_distinct_state(session: Any, seed: int = 11) -> dict:
    """Gives every variable of the graph its own values, positive where they must be."""
    random = np.random.RandomState(seed)
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    state = {
        name: random.uniform(0.5, 1.5, variable.shape.as_list()).astype("float32")
        for name, variable in variables.items()
    }
    # All at once: a session plans anew for each op that it has not run before.
    feed = {variables[name].initializer.inputs[1]: value for name, value in state.items()}
    session.run([variable.initializer for variable in variables.values()], feed)
    return state
