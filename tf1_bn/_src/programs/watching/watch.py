# SPDX-License-Identifier: Apache-2.0
"""Watches, for `run`, the layers a program builds and what its sessions run of them.

Private name, and why: sessions resolve what they are to fetch in
`tensorflow.python.client.session._FetchHandler`. Wrapping its `targets`, which has returned before
anything runs, leaves no frame in a program's tracebacks; wrapping `Session.run` would.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
import weakref
from typing import Any, Callable, Iterable, Mapping, Sequence

from ...api.functional import batch_normalization
from ...call.calls import Call, Finish, on_call
from ...plan.kernel_choice import KernelChoice
from ...runtime.tensorflow_v1 import Operation, tf
from ..places import Ledger, attribute, provides
from .executed import Executed, flag_in, flag_of, moved_by
from .exported import export_hooks
from .graphs import Ran, Watched
from .layer_states import Key, LayerStates


class Watch:
    """What happened in this process, from `start` on."""

    def __init__(self, leaving: Callable[[Any], None] = lambda graph: None) -> None:
        """`leaving` is given the graph of each session that is closed, while it is there."""
        # Of graphs numbers are kept, and of the rest names: nothing may keep a graph alive.
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next_number, self._leaving = itertools.count(), leaving
        self._ran: dict[int, Ran] = {}
        self._states = LayerStates()
        self._fetches_seen: set[tuple[Any, ...]] = set()
        self._choices: dict[tuple[str, KernelChoice], None] = {}
        self._hooks = contextlib.ExitStack()
        self.sees_runs = False

    def start(self) -> None:
        """Listens to calls, and hooks into collections and sessions."""
        self._hooks.enter_context(on_call(self._called))
        ledger = Ledger()
        moves = [
            attribute(tf.Graph, name, self._collecting(getattr(tf.Graph, name)))
            for name in ("get_collection", "get_collection_ref")
        ]
        session = importlib.import_module("tensorflow.python.client.session")
        handler: Any = getattr(session, "_FetchHandler", None)
        if hasattr(handler, "targets") and hasattr(handler, "fetches"):
            self.sees_runs = True
            moves.append(attribute(handler, "targets", self._telling(handler.targets)))
        owner = next(each for each in tf.Session.__mro__ if "close" in vars(each))
        moves.append(attribute(owner, "close", self._closing(owner.close)))
        moves += export_hooks(self._exported)
        self._hooks.callback(ledger.place(moves))

    def stop(self) -> None:
        """Takes the hooks away; what was seen stays."""
        self._hooks.close()

    def layers(self) -> list[tuple[str, str, str]]:
        """Each layer in the order of the calls; those that share variables under reuse are one.

        Returns:
          Of each its name; its state, one of `layer_states`; and the name of the tensor that was
          to say whether a run trains and never was True, "" if there is none.
        """
        return [
            (_layer(key), self._states.state(key), self._states.flag(key))
            for key in self._states.built
        ]

    def graphs(self) -> list[Any]:
        """The graphs that were built or run, and that somebody still holds."""
        return sorted(self._numbers, key=self._numbers.__getitem__)

    def number(self, graph: Any) -> int:
        """The number of a graph in the order they were noticed; it stays when the graph is gone."""
        if graph not in self._numbers:
            self._numbers[graph] = next(self._next_number)
        return self._numbers[graph]

    def ran(self, number: int) -> Ran:
        """What was run of a graph."""
        return self._ran.get(number, Ran())

    def numbers(self) -> list[int]:
        """The numbers of the graphs that layers were built in."""
        return sorted({number for number, _ in self._states.built})

    def of_graph(self, number: int) -> dict[str, Watched]:
        """The layers of a graph, and of all functions, by the name of the moving mean."""
        states = self._states
        return {
            mean: Watched(
                _layer((graph, mean)),
                states.state((graph, mean)),
                states.flag((graph, mean)),
                states.is_wanted(mean),
                states.was_trained(number),
                states.outside((graph, mean)),
            )
            for graph, mean in states.built
            if graph == number or states.is_hidden((graph, mean))
        }

    def is_wanted(self, mean: str) -> bool:
        """Whether anybody may use the averages of a layer, by the name of its moving mean."""
        return self._states.is_wanted(mean)

    def originals_work(self) -> bool:
        """Whether programs find TensorFlow's own batch normalization, which is not watched."""
        layers = tf.layers
        return provides(layers, "batch_normalization") and (
            layers.batch_normalization is not batch_normalization
        )

    def kernels(self) -> list[tuple[str, ...]]:
        """Rows of the layers in the order of their calls, with their kernels and the reason.

        The first names the columns; none where no layer was built.
        """
        rows = dict.fromkeys(
            (name, choice.kernel.value, choice.inference.value, choice.reason)
            for name, choice in self._choices
        )
        return [("layer", "training", "inference", "why"), *rows] if rows else []

    # -- what is built ---------------------------------------------------------------------------

    def _called(self, maker: Any, inputs: Any, arguments: Mapping[str, Any]) -> Finish:
        def finish(outputs: Any, calls: Sequence[Call]) -> None:
            trainable = getattr(maker, "trainable", arguments.get("trainable", True))
            for call in calls:
                self._note(call, hasattr(maker, "build"), bool(trainable))

        return finish

    def _note(self, call: Call, is_layer: bool, trainable: bool) -> None:
        graph = tf.get_default_graph()
        key = (self.number(graph), _moving_mean(call))
        # A layer that is not trainable makes update ops, and leaves them to nobody.
        moves = bool(call.updates) and (call.collected or trainable)
        collected = _names(graph.get_collection_ref(tf.GraphKeys.UPDATE_OPS))
        self._states.note(
            key,
            output=call.outputs.op.name,
            moves=moves or (not is_layer and _moves_with_outputs(call)),
            trainable=trainable,
            in_function=hasattr(graph, "outer_graph"),
            # The mean's; not one that waits in a collection of the program's own.
            updates={op.name for op in call.updates[:1]} & collected,
            flag=flag_of(call.training),
            reads=call.training is not True,
        )
        self._choices[_layer(key), call.choice] = None

    def _collecting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def asked(graph: Any, name: Any, *scope: Any, **named: Any) -> Any:
            found = original(graph, name, *scope, **named)
            if name == tf.GraphKeys.UPDATE_OPS and _asks_for_program(sys._getframe(1)):
                names = None if original.__name__.endswith("_ref") else _names(found)
                self._states.collect(self.number(graph), names, *scope, **named)
            return found

        return asked

    # -- what is run -----------------------------------------------------------------------------

    def _telling(self, targets: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def told(handler: Any) -> Any:
            found = targets(handler)
            ops = [*found, *(tensor.op for tensor in handler.fetches())]
            if ops:
                # Of `make_callable` and `partial_run_setup` nobody knows yet what they will feed.
                feeds = getattr(handler, "_feeds", {})
                knows_feeds = sys._getframe(1).f_code.co_name == "_run"
                self._fetched(self.number(ops[0].graph), ops, feeds if knows_feeds else None)
            return found

        return told

    def _fetched(self, number: int, ops: list[Operation], feeds: Any) -> None:
        for flag in self._states.open_flags(number):
            if feeds is None or flag_in(feeds, flag, ops[0].graph):
                self._states.flag_was_true(number, flag)
        seen = (number, *sorted(op.name for op in ops))
        # An op's inputs are fixed, so what it depends on was all there the first time.
        if seen not in self._fetches_seen:
            self._fetches_seen.add(seen)
            executed = Executed.of(ops, feeds or {})
            self._states.execute(number, executed)
            self._ran[number] = self._ran.get(number, Ran()).and_run(seen[1:], executed)

    def _exported(self, graph: Any, names: list[str]) -> None:
        number = self.number(graph)
        self._ran[number] = self._ran.get(number, Ran()).and_outputs(names)

    def _closing(self, close: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def closed(session: Any) -> Any:
            graph = getattr(session, "graph", None)
            # One that was left open before `start` is none of the program's.
            if graph is not None and graph in self._numbers:
                self._leaving(graph)
            return close(session)

        return closed


def _asks_for_program(frame: Any) -> bool:
    """Whether the program, or a training loop, asks for a collection, not the layers' own code."""
    while frame is not None and frame.f_globals.get("__name__", "").endswith("framework.ops"):
        frame = frame.f_back
    name = "" if frame is None else str(frame.f_globals.get("__name__", ""))
    if name.startswith("tf1_bn."):
        return name.endswith(".api.train_op")
    return not name.startswith(("tensorflow.", "tensorflow_core.")) or ".contrib." in name


def _names(collected: Iterable[Any]) -> set[str]:
    """Of the ops in a collection, which may hold anything."""
    return {getattr(getattr(each, "op", each), "name", "") for each in collected}


def _layer(key: Key) -> str:
    return key[1].rpartition("/")[0] or key[1]


def _moving_mean(call: Call) -> str:
    """The full name of the variable; wrappers of a custom getter may have none to tell."""
    name = getattr(call.variables.moving_mean, "name", None)
    if isinstance(name, str):
        return name.split(":")[0]
    return min(moved_by(call.updates), default=str(call.outputs.op.name))


def _moves_with_outputs(call: Call) -> bool:
    """Whether a call of contrib without `updates` has them in its outputs, where a walk sees them.

    In a conditional of control flow v2 it does not, and nothing can be said.
    """
    return call.active is None or (call.active is not False and not tf.control_flow_v2_enabled())
