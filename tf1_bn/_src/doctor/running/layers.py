# SPDX-License-Identifier: Apache-2.0
"""The layers of a live graph, with what has to be fetched to read their statistics."""

from __future__ import annotations

import math
import numbers
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from ...call.calls import Call
from ...discovery.found import FoundLayer
from ...discovery.layers import find_in, read
from ...runtime.graph_place import calls_of
from ...runtime.tensorflow_v1 import Operation, tf
from ...runtime.training_flag import Phase
from ..facts.case import name_of
from ..rules.layers.momentum import rate_of

_REFS = ("VariableV2", "Variable")
# More than any program makes, and a number that floats can hold.
_MOST_UPDATES = 10**18


class Statistics(NamedTuple):
    """The values of a layer's moving statistics, float64 arrays of its channels."""

    mean: Any
    variance: Any

    def are_begun(self) -> bool:
        """Whether they are what TensorFlow's layers begin with, 0 and 1."""
        return bool(np.all(self.mean == 0.0) and np.all(self.variance == 1.0))

    def are_sound(self) -> bool:
        """Whether all are finite, and no variance is below 0."""
        finite = np.all(np.isfinite(self.mean)) and np.all(np.isfinite(self.variance))
        return bool(finite and np.all(self.variance >= 0.0))

    def equal(self, other: Statistics) -> bool:
        """Whether they are the same to the last bit, NaN included."""
        pairs = zip(self, other)
        return all(np.array_equal(a.view(np.int64), b.view(np.int64)) for a, b in pairs)


class Layer(NamedTuple):
    """A layer whose statistics can be read.

    Attributes:
      name: the scope of its variables.
      found: what is known of it.
      mean: the tensor that gives its moving mean.
      variance: the tensor that gives its moving variance.
      rate: 1 - momentum; None where no update op shows it.
    """

    name: str
    found: FoundLayer
    mean: Any
    variance: Any
    rate: float | None

    def age(self, updates: float) -> float | None:
        """That many updates in time constants; None where the momentum is not known."""
        if self.rate is None:
            return None
        per_update = math.inf if self.rate >= 1.0 else -math.log1p(-self.rate)
        return min(updates, _MOST_UPDATES) * per_update if updates else 0.0


def layers_of(graph: Any) -> list[Layer]:
    """All of a `tf.Graph`, of whatever library, but for those that are frozen or folded.

    Adds nothing to the graph.
    """
    view, unread = read(graph)
    layers = []
    for found in find_in(view, unread).layers:
        held = (found.variables.moving_mean, found.variables.moving_variance)
        if found.variables.frozen or None in held:
            continue
        mean, variance = (_value(graph, str(name)) for name in held)
        if mean is None or variance is None:
            continue
        updates = [update for call in found.calls for update in call.updates]
        rates = {rate_of(view, update) for update in updates if update.variable in held} - {None}
        rate = rates.pop() if len(rates) == 1 else None
        layers.append(Layer(name_of(found), found, mean, variance, rate))
    return layers


def check_session(session: Any, graph: Any = None) -> None:
    """Raises unless it is a session; an op has `run` and `graph`, too.

    Args:
      session: what a caller gave.
      graph: that the session must be of; None for any.

    Raises:
      RuntimeError: it is a monitored session that is closed.
      TypeError: it is no session.
      ValueError: it is of another graph.
    """
    known = all(hasattr(session, name) for name in ("run", "graph", "close"))
    if not known or isinstance(session, type):
        raise TypeError(f"`session` must be a tf.compat.v1.Session (got {session!r}).")
    if session.graph is None:
        raise RuntimeError(f"`session` must be open (got {session!r}, which is closed).")
    if graph is not None and session.graph is not graph:
        raise ValueError(
            f"`session` must be of the graph that was looked at first, {graph!r} (got "
            f"{session!r}, of {session.graph!r})."
        )


def is_whole(given: Any) -> bool:
    """Whether it is a whole number, of NumPy or not; True and False are none."""
    return isinstance(given, numbers.Integral) and not isinstance(given, bool)


def run_in(session: Any, fetches: Any, feed_dict: Any = None) -> Any:
    """What `session.run` gives; an error of the same type says first what the session lacks."""
    try:
        return session.run(fetches, feed_dict)
    except tf.errors.FailedPreconditionError as error:
        needs = "its variables, and iterators if there are any, initialized or restored"
        said = f"`session` must have {needs} (got {session!r}): {error.message}"
        raise tf.errors.FailedPreconditionError(error.node_def, error.op, said) from None
    except RuntimeError as error:
        raise RuntimeError(f"`session` must be open (got {session!r}): {error}") from None


def read_all(session: Any, layers: list[Layer]) -> Mapping[str, Statistics]:
    """The statistics of each layer by its name, in one run."""
    if not layers:
        # A session of an empty graph runs nothing.
        return {}
    values = run_in(session, [(layer.mean, layer.variance) for layer in layers])
    return {layer.name: Statistics(*map(_array, pair)) for layer, pair in zip(layers, values)}


def _array(value: Any) -> Any:
    return np.ascontiguousarray(value, np.float64).reshape(-1)


def _value(graph: Any, name: str) -> Any:
    """A tensor that only reads a variable; None where there is none to be fetched."""
    try:
        op = graph.get_operation_by_name(name)
    except (KeyError, ValueError):
        # In the body of a function.
        return None
    if op.type in _REFS:
        return op.outputs[0]
    if op.type != "VarHandleOp":
        return None
    readers = (each for each in op.outputs[0].consumers() if each.type == "ReadVariableOp")
    free = (each for each in readers if not each.control_inputs)
    return next((each.outputs[0] for each in free if tf.Graph.is_fetchable(graph, each)), None)


class LeftLayer(NamedTuple):
    """A layer of this package that is left to its program to move, by the names of its variables.

    Attributes:
      mean: the moving mean.
      learned: gamma and beta, as far as there are any.
      calls: the ops of their outputs, each with its phase.
    """

    mean: str
    learned: frozenset[str]
    calls: tuple[tuple[Operation, Phase], ...]

    def is_forgotten(self) -> bool:
        """Whether nothing ever trains it by a batch."""
        return all(phase is False for _, phase in self.calls)

    def is_used(self, known: set[Operation], new: Sequence[Operation]) -> bool:
        """Whether what was run so far may train it; in inference by what one run needs."""
        switched = [output for output, phase in self.calls if phase is not False]
        if switched:
            return not known.isdisjoint(switched)
        return not set(new).isdisjoint(output for output, _ in self.calls)


def left_layers(graph: Any) -> list[LeftLayer]:
    """Those whose moving statistics something reads, and that the program has to move."""
    by_mean: dict[str, list[Call]] = {}
    for call in calls_of(graph):
        by_mean.setdefault(name_of_variable(call.variables.moving_mean), []).append(call)
    found = []
    for mean, calls in by_mean.items():
        variables = calls[0].variables
        # A parameter server's may be moved by another process.
        elsewhere = "/job:" in str(getattr(variables.moving_mean, "device", ""))
        read = any(call.training is not True for call in calls)
        left = all(call.training is False or _is_left(graph, call) for call in calls)
        if mean and read and left and not elsewhere:
            learned = frozenset(map(name_of_variable, (variables.gamma, variables.beta))) - {""}
            # Of those in a conditional nobody knows whether they run.
            built = tuple(
                (call.outputs.op, call.training)
                for call in calls
                if tf.Graph.is_fetchable(graph, call.outputs.op)
            )
            found.append(LeftLayer(mean, learned, built))
    return found


def _is_left(graph: Any, call: Call) -> bool:
    """Whether the program can run the updates, and nothing else does."""
    # Who builds them in a conditional or a loop is warned there.
    fetchable = (tf.Graph.is_fetchable(graph, op) for op in call.updates)
    return call.collected and bool(call.updates) and all(fetchable)


def name_of_variable(variable: Any) -> str:
    """The name of its op; "" where it has none."""
    name = getattr(variable, "name", None)
    return name.partition(":")[0] if isinstance(name, str) else ""
