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

from ...api.advice import warn
from ...call.calls import Call, Finish, listeners
from ...runtime.graph_place import calls_of
from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from ...runtime.training_flag import Phase
from .frames import is_ours, run_under_way
from .layers import LeftLayer, left_layers, name_of_variable
from .runs import (
    ANY,
    WRITE,
    fed_values,
    is_false,
    is_initializer,
    moved_and_trained,
    ops_in,
    written,
)

SWITCH = "TF1_BN_WARN_UNREACHED"
# TensorFlow copies collections with string keys only, so this one stays with its graph.
_SETTLED = ("tf1_bn", "settled")
# Runs that train; a program may run the updates by themselves behind each fourth, say.
PATIENCE = 10
# Fetches that are looked through once layers were trained enough: each costs a walk of its own.
MOST_FETCHES = 100
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
    f"has moved or loaded the moving statistics: no batch is used. Pass `training`. {_MINIMIZE}"
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
    # Not where the program has put a method of its own.
    plain = getattr(graph.is_fetchable, "__func__", None) is tf.Graph.is_fetchable
    if calls and alone and type(graph) is tf.Graph and plain:
        graph.is_fetchable = _Fetches(graph, calls)


def is_watched(graph: Any) -> bool:
    """Whether it is still open whether runs move the layers of a graph."""
    return isinstance(graph.is_fetchable, _Fetches)


class _Fetches:
    """The method `is_fetchable` of one graph, which looks at what is fetched."""

    def __init__(self, graph: Any, calls: Sequence[Call]) -> None:
        self._graph = weakref.ref(graph)
        # A value that is fed, or a handler of a signal, may run the session while we look.
        self._lock = threading.RLock()
        self._early = os.environ.get(SWITCH) == "early"
        self._seen: set[Operation] = set()
        # The averages that runs move, and those that were told of: a later watch knows them, too.
        self._settled = _settled(graph, calls)
        # What each train op trains, and how often it was fetched.
        self._trained: dict[Operation, list[LeftLayer]] = {}
        self._runs: dict[Operation, int] = {}
        # The layers that a fetch needs, each with its phase, where such tensors are fed.
        self._used: dict[tuple[Operation, frozenset[str]], list[tuple[LeftLayer, Phase]]] = {}
        # The initializers of averages that a fetch runs, which load what is fed to them.
        self._initializers: dict[Operation, list[Operation]] = {}
        # How often each layer was trained, by its mean; and those that were often enough.
        self._steps: dict[str, int] = {}
        self._ripe: set[str] = set()
        # The ids of fetches that do not matter; `_seen` keeps the ops.
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
        self._load(graph, self._initializers.get(op, []))
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
            looked = self._ripe.issuperset(each.mean for each in trained)
            return looked and (op, frozenset()) in self._used and not self._early
        return not (self._initializers[op] or (self._ripe and self._used[op, frozenset()]))

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

    def _used_by(self, graph: Any, op: Operation, fed: frozenset[str]) -> Any:
        """The layers with their phases that an op is computed from, or waits for."""
        if (op, fed) not in self._used:
            # What is fed is not computed.
            given = any(each.name in fed for each in op.outputs)
            needed = needed_ops([op], follows=lambda source: source.name not in fed)
            ops = set() if given or len(self._used) >= MOST_FETCHES else set(needed)
            calls = [(layer, *call) for layer in left_layers(graph) for call in layer.calls]
            self._used[op, fed] = [(layer, phase) for layer, out, phase in calls if out in ops]
        return [each for each in self._used[op, fed] if each[0].mean in self._ripe - self._settled]

    def _used_unmoved(self, graph: Any, op: Operation) -> list[LeftLayer]:
        """The layers that the run under way holds in inference for certain."""
        given = run_under_way() if self._used_by(graph, op, frozenset()) else None
        if given is None:
            return []
        fed = fed_values(graph, given.feed_dict)
        used = self._used_by(graph, op, frozenset(fed))
        # Most layers share one phase.
        false = {key for key, p in {id(p): p for _, p in used}.items() if is_false(p, fed)}
        held = {layer.mean: layer for layer, phase in used if id(phase) in false}
        # By the name of the variable, or of what reads it: statistics that this run is given.
        held = {m: held[m] for m in held if not any(name.startswith(m) for name in fed)}
        if held:
            # The updates may be beside it in the list.
            for other in ops_in(graph, given.fetches):
                self._look(graph, other)
        return self._still(held.values())

    def _load(self, graph: Any, initializers: Sequence[Operation]) -> None:
        """Settles the averages that the run under way gives values by their initializers."""
        given = run_under_way() if initializers else None
        fed = fed_values(graph, given.feed_dict) if given else {ANY: None}
        loaded = (each for each in initializers if ANY in fed or each.inputs[1].name in fed)
        self._settled.update(map(written, loaded))

    def _look(self, graph: Any, fetched: Operation) -> None:
        """Learns what the ops do that no fetch has needed before."""
        if fetched in self._initializers:
            return
        layers = left_layers(graph)
        means = {layer.mean for layer in layers}
        # Groups of them wait for one another.
        group = needed_ops([fetched], follows=lambda source: not isinstance(source, tf.Tensor))
        begun = [op for op in group if WRITE.match(op.type) and is_initializer(op)]
        self._initializers[fetched] = [op for op in begun if written(op) in means]
        self._learn(layers, fetched)
        if means <= self._settled:
            self._end(graph)

    def _learn(self, layers: Sequence[LeftLayer], fetched: Operation) -> None:
        """Learns which averages are moved or loaded, and which layers are trained."""
        known = self._seen
        follows = needed_ops([fetched], follows=lambda source: op_of(source) not in known)
        new = [op for op in follows if op not in known]
        moved, trained = moved_and_trained(new, layers)
        # In this order: Ctrl-C may come in between.
        self._settled |= moved
        known.update(new)
        found = [layer for layer in layers if trained & layer.learned and layer.is_used(known, new)]
        if found:
            self._trained[fetched] = found

    def _end(self, graph: Any) -> None:
        if graph.is_fetchable is self:
            del graph.is_fetchable


def _settled(graph: Any, calls: Sequence[Call]) -> set[str]:
    kept: list[set[str]] = graph.get_collection_ref(_SETTLED)
    if not kept:  # Of layers that were built unwatched nobody knows what runs did.
        before = [each for each in calls_of(graph) if all(each is not call for call in calls)]
        kept.append({name_of_variable(each.variables.moving_mean) for each in before})
    return kept[0]


def _text(layers: Sequence[LeftLayer]) -> str:
    """Of those that never train by a batch, if there are any: that comes first."""
    forgotten = [each for each in layers if each.is_forgotten()]
    means = [each.mean for each in forgotten or layers]
    names = [mean.rpartition("/")[0] or mean for mean in means]
    named = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    text = _FORGOTTEN if forgotten else _TEXT
    return text.format(layers=f"{named} {'are' if len(names) > 1 else 'is'}")
