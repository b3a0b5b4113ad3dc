"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import tensorflow

DATA = Path(__file__).with_name("data")
SMALL_NET = DATA / "small_net_tf1.15.5.npz"
DENSE_NET = DATA / "dense_net_tf1.15.5.npz"
SLIM_NET = DATA / "slim_net_tf1.15.5.npz"


def rows_of(section: Any, verdict: str) -> list[Any]:
    return [row for row in section.rows if row.verdict == verdict]


def batch(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Noise with a mean and a width of its own for each channel."""
    channels = np.arange(1, shape[-1] + 1)
    noise = np.random.RandomState(seed).standard_normal(shape)
    return (noise * channels * 0.5 + channels - 2.0).astype("float32")


def new_session(graph: Any = None) -> Any:
    """A session with every variable initialized, in the default graph."""
    tf = tensorflow()
    session = tf.Session(graph=graph)
    session.run(tf.global_variables_initializer())
    return session
