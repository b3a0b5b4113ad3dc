# SPDX-License-Identifier: Apache-2.0
"""Says once, unasked, that a program uses averages which none of its runs has moved.

A session asks its graph, by the public method `is_fetchable`, about each op it is to fetch. So a
graph in which a layer was called gets a method of its own in that place, for as long as it is
open whether the layer is moved, which with a correct program is the first run that trains.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import Any, Iterable, Mapping, Sequence

from ...call.calls import Call, Finish, listeners
from ...programs.watching.executed import is_given
from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from ...runtime.training_flag import Phase
from .frames import is_ours, run_under_way, warn
from .layers import LeftLayer, left_layers
from .runs import (
    STEP,
    WRITE,
    fed_values,
    is_computed_from,
    is_false,
    is_initializer,
    ops_in,
    written,
)

SWITCH = "TF1_BN_WARN_UNREACHED"
# TensorFlow copies collections with string keys only, so this one stays with its graph.
_SETTLED = ("tf1_bn", "settled")
# Runs that train; a program may run the updates by themselves behind each fourth, say.
PATIENCE = 10
# Asked for by `early`: runs of one train op, whatever uses the averages.
EARLY = 2
_MINIMIZE = (
    "Make the train op by tf1_bn.minimize(optimizer, loss), or behind all layers inside of "
    "`with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):`. "
    f"(tf1_bn.check tells more; {SWITCH}=0 in the environment turns this warning off.)"
)
_TEXT = (
    "{layers} trained, and no session run so far has moved the moving statistics: inference "
    f"normalizes by what they began with. {_MINIMIZE}"
)
_FORGOTTEN = (
    "{layers} trained in inference, as `training` is False in each call, and no session run so far "
    "has moved or loaded the moving statistics: nothing is normalized by its batch. Pass "
    f"`training`. {_MINIMIZE}"
)


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
        self._early = os.environ.get(SWITCH) == "early"
        self._seen: set[Operation] = set()
        # The averages that runs move, and those that were told of: a later watch knows them, too.
        self._settled = _settled(graph)
        # What each train op trains, and how often it was fetched.
        self._trained: dict[Operation, list[LeftLayer]] = {}
        self._runs: dict[Operation, int] = {}
        # The layers whose outputs a fetch needs, each with its phase.
        self._used: dict[Operation, list[tuple[LeftLayer, Phase]]] = {}
        # How often each layer was trained, by its mean; and those that were often enough.
        self._steps: dict[str, int] = {}
        self._ripe: set[str] = set()
        # The ids of fetches that do not matter, for the quickest answer; `_seen` keeps the ops.
        self._idle: set[int] = set()

    def __call__(self, tensor_or_op: Any) -> bool:
        if id(tensor_or_op) in self._idle:
            return True
        graph = self._graph()
        fetchable = bool(tf.Graph.is_fetchable(graph, tensor_or_op))
        if fetchable and not is_ours(sys._getframe(1)):
            unmoved = self._unmoved_or_none(graph, tensor_or_op)
            if unmoved:
                warn(_text(unmoved))
        return fetchable

    def _unmoved_or_none(self, graph: Any, tensor_or_op: Any) -> list[LeftLayer]:
        with self._lock:
            try:
                unmoved = self._unmoved(graph, op_of(tensor_or_op))
            except Exception:
                # The program runs, whatever we do not understand of it.
                self._end(graph)
                return []
            if unmoved:
                self._settled.update(each.mean for each in unmoved)
                self._end(graph)
            return unmoved

    def _unmoved(self, graph: Any, op: Operation) -> list[LeftLayer]:
        """The layers that are to be told of; ends the watch where nothing is left to find."""
        self._look(graph, op)
        trained = self._trained.get(op, [])
        unmoved = self._used_unmoved(graph, op) if self._ripe else []
        if trained:
            self._count(op, trained)
            if self._early and self._runs[op] >= EARLY:
                return self._still(trained)
        if self._does_not_matter(op, trained):
            self._idle.add(id(op))
        return unmoved

    def _does_not_matter(self, op: Operation, trained: Sequence[LeftLayer]) -> bool:
        """Whether it need not be asked about again, until another layer was trained enough."""
        if trained:
            # A train op is of one phase: once it was looked at, it is as it will be.
            looked = all(each.mean in self._ripe for each in trained) and op in self._used
            return looked and not self._early
        return not (self._ripe and self._used[op])

    def _still(self, layers: Iterable[LeftLayer]) -> list[LeftLayer]:
        return [each for each in layers if each.mean not in self._settled]

    def _count(self, op: Operation, trained: Iterable[LeftLayer]) -> None:
        self._runs[op] = self._runs.get(op, 0) + 1
        for each in trained:
            self._steps[each.mean] = self._steps.get(each.mean, 0) + 1
            if self._steps[each.mean] == PATIENCE:
                self._ripe.add(each.mean)
                # What trained nothing did not matter so far.
                self._idle.clear()

    def _used_unmoved(self, graph: Any, op: Operation) -> list[LeftLayer]:
        """The layers that the run under way holds in inference for certain."""
        if op not in self._used:
            needed = set(needed_ops([op]))
            calls = [(layer, *call) for layer in left_layers(graph) for call in layer.calls]
            self._used[op] = [(layer, phase) for layer, out, phase in calls if out in needed]
        used = [each for each in self._used[op] if each[0].mean in self._ripe - self._settled]
        given = run_under_way() if used else None
        if given is None:
            return []
        fed = fed_values(graph, given.feed_dict)
        # Most layers share one phase.
        phases = {id(phase): phase for _, phase in used}
        false = {key for key, phase in phases.items() if is_false(phase, fed)}
        held = {layer.mean: layer for layer, phase in used if id(phase) in false}
        if held:
            # The updates may be beside it in the list.
            for other in ops_in(graph, given.fetches):
                self._look(graph, other)
        return self._still(held.values())

    def _look(self, graph: Any, fetched: Operation) -> None:
        """Learns what the ops do that no fetch has needed before."""
        if WRITE.match(fetched.type):
            # The initializer alone, with a value that is fed, is how a variable is loaded.
            self._settled.add(written(fetched))
        known = self._seen
        if fetched in known:
            return
        layers = left_layers(graph)
        new = list(needed_ops([fetched], follows=lambda source: op_of(source) not in known))
        known.update(new)
        trained: set[str] = set()
        by_hand: list[Operation] = []
        for op in new:
            if STEP.match(op.type):
                trained.add(written(op))
            elif WRITE.match(op.type) and (not is_initializer(op) or is_given(op)):
                self._settled.add(written(op))
                # Optimizers that a program makes itself subtract; an assignment may restore. A copy
                # that follows another network needs no output.
                by_hand += [op] if op.type.startswith("AssignSub") else []
        outputs = {output for layer in layers for output, _ in layer.calls}
        trained.update(written(op) for op in by_hand if is_computed_from(op.inputs[1], outputs))
        found = [
            layer
            for layer in layers
            if trained & layer.learned and any(out in known for out, _ in layer.calls)
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


def _text(layers: Sequence[LeftLayer]) -> str:
    """Of those that never train by a batch, if there are any: that comes first."""
    forgotten = [each for each in layers if each.is_forgotten()]
    means = [each.mean for each in forgotten or layers]
    names = [mean.rpartition("/")[0] or mean for mean in means]
    named = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    text = _FORGOTTEN if forgotten else _TEXT
    return text.format(layers=f"{named} {'are' if len(names) > 1 else 'is'}")
