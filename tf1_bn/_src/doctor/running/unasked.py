# SPDX-License-Identifier: Apache-2.0
"""Says once, unasked, that a program trains layers whose averages none of its runs can move.

A session asks its graph, by the public method `is_fetchable`, about each op it is to fetch. So a
graph in which a layer was called gets a method of its own in that place, for as long as it is
open whether the layer is moved, which with a correct program is the first run that trains.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

from ...call.calls import Call, Finish, listeners
from ...programs.watching.executed import is_given
from ...runtime.graph_place import calls_of
from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from .runs import STEP, WRITE, is_initializer, written
from .telling import warn

SWITCH = "TF1_BN_WARN_UNREACHED"
# TensorFlow copies collections with string keys only, so this one stays with its graph.
_SETTLED = ("tf1_bn", "settled")
# Runs of one train op; in between a program may run the update ops by themselves.
PATIENCE = 2
_PACKAGE = __name__.partition(".")[0]
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
        # The averages that runs move, and those that were told of: a later watch knows them, too.
        self._settled = _settled(graph)
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
        if fetchable and not _asks_for_us(sys._getframe(1)):
            unreached = self._unreached_or_none(graph, tensor_or_op)
            if unreached:
                several = "are" if len(unreached) > 1 else "is"
                named = ", ".join(unreached[:4]) + (", ..." if len(unreached) > 4 else "")
                warn(_TEXT.format(layers=f"{named} {several}"))
        return fetchable

    def _unreached_or_none(self, graph: Any, tensor_or_op: Any) -> list[str]:
        with self._lock:
            try:
                return self._unreached(graph, op_of(tensor_or_op))
            except Exception:
                # The program runs, whatever we do not understand of it.
                self._end(graph)
                return []

    def _unreached(self, graph: Any, op: Operation) -> list[str]:
        """The layers that are to be told of; ends the watch where nothing is left to find."""
        if op not in self._seen:
            self._look(graph, op)
        if WRITE.match(op.type):
            # The initializer alone, with a value that is fed, is how a variable is loaded.
            self._settled.add(written(op))
        if op not in self._trained:
            self._idle.add(id(op))
            return []
        self._runs[op] = self._runs.get(op, 0) + 1
        if self._runs[op] < PATIENCE:
            return []
        unreached = [each for each in self._trained[op] if each.mean not in self._settled]
        if unreached:
            self._settled.update(each.mean for each in unreached)
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
        by_hand: list[Operation] = []
        for op in new:
            if STEP.match(op.type):
                trained.add(written(op))
            elif WRITE.match(op.type) and (not is_initializer(op) or is_given(op)):
                self._settled.add(written(op))
                # Optimizers that a program makes itself subtract; an assignment may restore.
                by_hand += [op] if op.type.startswith("AssignSub") else []
        trained.update(_by_gradients(by_hand, layers))
        found = [
            layer
            for layer in layers
            if trained & layer.learned and not known.isdisjoint(layer.outputs)
        ]
        if found:
            self._trained[fetched] = found
        if all(layer.mean in self._settled for layer in layers):
            self._end(graph)

    def _end(self, graph: Any) -> None:
        if is_watched(graph):
            del graph.is_fetchable


def _settled(graph: Any) -> set[str]:
    kept: list[set[str]] = graph.get_collection_ref(_SETTLED)
    if not kept:
        kept.append(set())
    return kept[0]


def _asks_for_us(frame: Any) -> bool:
    """Whether it is our own code that asks about an op, and not a session that is to run it."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE


def _by_gradients(writes: Iterable[Operation], layers: Iterable[_Layer]) -> set[str]:
    """What is trained by subtraction; a copy that follows another network needs no output."""
    outputs = {output for layer in layers for output in layer.outputs}
    learned = {name for layer in layers for name in layer.learned}
    steps = [op for op in writes if written(op) in learned]
    return {written(op) for op in steps if not outputs.isdisjoint(_computed_from(op.inputs[1]))}


def _computed_from(value: Any) -> Iterator[Operation]:
    """The ops of what a tensor is computed from, without those it only waits for."""
    return needed_ops([value], follows=lambda source: isinstance(source, tf.Tensor))


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
