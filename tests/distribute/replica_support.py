"""What the tests of towers and replicas share: shards of one batch, and the truth about it."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from tests.conftest import tensorflow
from tests.reference import Norm, new_state, slopes, train

tf = tensorflow()

EPSILON = 1e-3


class Shards(NamedTuple):
    """One batch in unequal parts, and the weights its outputs have in the loss."""

    inputs: list
    weights: list

    @property
    def whole(self) -> Any:
        return np.concatenate(self.inputs)

    @property
    def whole_weights(self) -> Any:
        return np.concatenate(self.weights)


def make_shards(sizes: Sequence[int], shape: Sequence[int], far: bool = False) -> Shards:
    """Shards of `[size, *shape]`; every channel has its own mean and width.

    With `far` the first channel has mean 1000 and standard deviation 0.5, where the mean of the
    squares less the squared mean has no right digit left in float32.
    """
    random = np.random.RandomState(5)
    channels = shape[-1]
    widths, means = np.linspace(0.5, 3.0, channels), np.linspace(-2.0, 4.0, channels)
    if far:
        widths[0], means[0] = 0.5, 1000.0
    return Shards(
        # The shards differ in mean, or one shard's moments would do for all.
        [random.randn(n, *shape) * widths + means + 0.3 * i for i, n in enumerate(sizes)],
        [random.randn(n, *shape) for n in sizes],
    )


def closed_form(shards: Shards, gamma: Any, beta: Any, momentum: float) -> dict:
    """One step of sum(outputs * weights) over the whole batch, in NumPy float64."""
    x, channels = shards.whole, shards.whole.shape[-1]
    norm = Norm((x.ndim - 1,), kept=momentum, epsilon=EPSILON)
    state = new_state(*(np.broadcast_to(value, [channels]) for value in (gamma, beta)))
    step = train(norm, x, state)
    by = slopes(norm, x, state, shards.whole_weights, training=True)
    averages = {name: step.state[name] for name in ("moving_mean", "moving_variance")}
    return {"outputs": step.outputs, **by._asdict(), **averages}


QUANTITIES = {
    "outputs": "output",
    "inputs": "gradient",
    "gamma": "gradient",
    "beta": "gradient",
    "moving_mean": "state",
    "moving_variance": "state",
}


def make_strategy(replicas: int) -> Any:
    return tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(replicas)])


def run(strategy: Any, fn: Callable[..., Any]) -> Any:
    """`strategy.run`, which TF 1.15 calls experimental."""
    is_new = hasattr(strategy, "run")
    return strategy.run(fn) if is_new else strategy.experimental_run_v2(fn)


def replica() -> int:
    """The number of the replica whose function runs."""
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(tf.get_static_value(number) if tf.is_tensor(number) else number)


def per_replica(strategy: Any, value: Any) -> list:
    return list(strategy.experimental_local_results(value))


def session_of(replicas: int) -> Any:
    """A session with a logical CPU for each replica."""
    config = tf.ConfigProto(
        device_count={"CPU": replicas},
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=1,
    )
    return tf.Session(config=config)


def named(name: str) -> Any:
    """The variable of this name, distributed or not."""
    return next(v for v in tf.global_variables() if v.name == f"{name}:0")
