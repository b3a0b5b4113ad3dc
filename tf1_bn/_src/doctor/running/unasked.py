# SPDX-License-Identifier: Apache-2.0
"""Says once, unasked, that a program trains layers whose averages none of its runs can move.

A session asks its graph, by the public method `is_fetchable`, about each op it is to fetch. So a
graph in which a layer was called gets a method of its own in that place, for as long as it is
open whether the layer is moved, which with a correct program is the first run that trains.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from ...call.calls import Call, Finish, listeners
from ...runtime.graph_place import calls_of, heard_calls
from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from .runs import STEP, WRITE, is_initializer, written
from .telling import warn

SWITCH = "TF1_BN_WARN_UNREACHED"
# Runs of one train op; in between a program may run the update ops by themselves.
PATIENCE = 2
_TEXT = (
    "{layers} trained, and no session run so far can move the moving statistics: inference "
    "normalizes by what they began with. Make the train op by tf1_bn.minimize(optimizer, loss), or "
    "behind all layers inside of "
    "`with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):`. "
    f"(tf1_bn.check tells more; {SWITCH}=0 in the environment turns this warning off.)"
)


class _Layer(NamedTuple):
    """Names of variables, and the outputs of the calls whose updates the program has to run."""

    mean: str
    learned: frozenset[str]
    outputs: tuple[Operation, ...]
    updates: frozenset[Operation]


def begin() -> None:
    """Listens to calls from now on, unless the environment says not to."""
    if os.environ.get(SWITCH, "1") != "0" and _heard not in listeners:
        listeners.append(_heard)


def _heard(maker: Any, inputs: Any, arguments: Mapping[str, Any]) -> Finish:
    return _built


def _built(outputs: Any, calls: Sequence[Call]) -> None:
    graph = tf.get_default_graph()
    # A function's graph is run by its maker; and where a report is made, it says more.
    alone = all(each is _heard for each in listeners)
    if calls and alone and type(graph) is tf.Graph and not is_watched(graph):
        graph.is_fetchable = _Fetches(graph)


def is_watched(graph: Any) -> bool:
    """Whether it is still open whether runs move the layers of a graph."""
    return isinstance(graph.is_fetchable, _Fetches)


class _Fetches:
    """The method `is_fetchable` of one graph, which looks at what is fetched."""

    def __init__(self, graph: Any) -> None:
        self._graph = weakref.ref(graph)
        self._lock = threading.Lock()
        self._seen: set[Operation] = set()
        self._moved: set[str] = set()
        # What each train op trains, and how often it was fetched.
        self._trained: dict[Operation, list[_Layer]] = {}
        self._runs: dict[Operation, int] = {}
        # The ids of fetches that train nothing, for the quickest answer; `_seen` keeps the ops.
        self._idle: set[int] = set()

    def __call__(self, tensor_or_op: Any) -> bool:
        if id(tensor_or_op) in self._idle:
            return True
        graph = self._graph()
        fetchable = bool(tf.Graph.is_fetchable(graph, tensor_or_op))
        # While a layer is built, it is the layer that asks.
        if fetchable and heard_calls() is None:
            with self._lock:
                unreached = self._unreached(graph, op_of(tensor_or_op))
            if unreached:
                several = "are" if len(unreached) > 1 else "is"
                named = ", ".join(unreached[:4]) + (", ..." if len(unreached) > 4 else "")
                warn(_TEXT.format(layers=f"{named} {several}"))
        return fetchable

    def _unreached(self, graph: Any, op: Operation) -> list[str]:
        """The layers that are to be told of; ends the watch where nothing is left to find."""
        if op not in self._seen:
            self._look(graph, op)
        if WRITE.match(op.type):
            # The initializer alone, with a value that is fed, is how a variable is loaded.
            self._moved.add(written(op))
        if op not in self._trained:
            self._idle.add(id(op))
            return []
        self._runs[op] = self._runs.get(op, 0) + 1
        if self._runs[op] < PATIENCE:
            return []
        unreached = [each for each in self._trained[op] if each.mean not in self._moved]
        if unreached:
            self._end(graph)
        waited_for = _waited_for(graph) if unreached else set()
        left = (each.mean for each in unreached if waited_for.isdisjoint(each.updates))
        return [mean.rpartition("/")[0] or mean for mean in left]

    def _look(self, graph: Any, fetched: Operation) -> None:
        """Learns what the ops do that no fetch has needed before."""
        layers = _layers(graph)
        known = self._seen
        new = list(needed_ops([fetched], follows=lambda source: op_of(source) not in known))
        known.update(new)
        trained: set[str] = set()
        for op in new:
            if STEP.match(op.type):
                trained.add(written(op))
            elif WRITE.match(op.type) and not is_initializer(op):
                self._moved.add(written(op))
                # Optimizers that a program makes itself subtract; an assignment may restore.
                trained.update([written(op)] if op.type.startswith("AssignSub") else [])
        found = [
            layer
            for layer in layers
            if trained & layer.learned and not known.isdisjoint(layer.outputs)
        ]
        if found:
            self._trained[fetched] = found
        if all(layer.mean in self._moved for layer in layers):
            self._end(graph)

    def _end(self, graph: Any) -> None:
        if is_watched(graph):
            del graph.is_fetchable


def _layers(graph: Any) -> list[_Layer]:
    """Those whose moving statistics something reads, and that the program has to move."""
    by_mean: dict[str, list[Call]] = {}
    for call in calls_of(graph):
        by_mean.setdefault(_name(call.variables.moving_mean), []).append(call)
    found = []
    for mean, calls in by_mean.items():
        variables = calls[0].variables
        # A parameter server's may be moved by another process.
        elsewhere = "/job:" in str(getattr(variables.moving_mean, "device", ""))
        read = any(call.training is not True for call in calls)
        moving = [call for call in calls if call.collected and _can_run(graph, call.updates)]
        if mean and read and moving and not elsewhere:
            learned = frozenset(map(_name, (variables.gamma, variables.beta))) - {""}
            outputs = tuple(call.outputs.op for call in moving)
            updates = frozenset(update for call in moving for update in call.updates)
            found.append(_Layer(mean, learned, outputs, updates))
    return found


def _waited_for(graph: Any) -> set[Operation]:
    """The ops behind which somebody put others: a group of updates is made to be run some time."""
    return {each for op in graph.get_operations() for each in op.control_inputs}


def _can_run(graph: Any, updates: Iterable[Operation]) -> bool:
    # Who builds them in a conditional or a loop is warned there.
    ops = list(updates)
    return bool(ops) and all(tf.Graph.is_fetchable(graph, op) for op in ops)


def _name(variable: Any) -> str:
    name = getattr(variable, "name", None)
    return name.partition(":")[0] if isinstance(name, str) else ""
