# SPDX-License-Identifier: Apache-2.0
"""In-graph towers that are built in step, so that their layers can merge batch statistics."""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ..runtime.graph_place import enclosing_v1_op, in_replica, scopes_around
from ..runtime.tensorflow_v1 import as_written, raise_if_eager, tf
from ..state.leftovers import here
from ..state.undoing import all_or_nothing
from .batch_statistics import BatchStatistics, layer_of, merge_statistics
from .merging import Meeting, Shared, in_tower, tower_thread
from .stepped_thread import SteppedThread
from .tower_tapes import refused_around, refused_by_tapes


@as_written
@all_or_nothing
def run_towers(
    fn: Callable[..., Any],
    tower_inputs: Sequence[Any],
    devices: Sequence[Any] | None = None,
    name: str = "tower",
) -> list[Any]:
    """Builds one tower for each of `tower_inputs` in the default graph and returns their results.

    Tower k is `fn(inputs)`, or `fn(*inputs)` where its inputs are a tuple, in the name scope
    `tower_k` and in the current variable scope; the first makes the variables as that scope says,
    the others share them. Its update ops are in `tower_k` as well, where TF1 programs look for
    them. Inside `tf1_bn.cross_replica` the towers are one batch for every layer, which then has one
    pair of update ops, those of the first tower.

    Each tower has a thread, but only one runs at a time: a tower runs until it ends or until a
    layer needs the statistics of the others, and then the next one does, in order. So the graph is
    the same every time. The variable scope, name scope, `tf1_bn.cross_replica` and
    `tf1_bn.updates` around the call are in force in the towers, and a `tf.cond` or `tf.while_loop`
    around it holds them all; `tf.device`, `tf.variable_creator_scope` and `strategy.scope()` are
    not in force, and `tf.control_dependencies` with control flow v1 only, if nothing has used
    threads in the graph yet, so open it in `fn`. Names of layers that have none start
    anew in the towers, so build other unnamed layers in another variable scope.

    Args:
      fn: builds a tower's graph; whatever it returns is returned.
      tower_inputs: what each tower is given; at least one.
      devices: for each tower what `tf.device` takes: a string such as "/job:worker/task:1", a
        function such as `tf.train.replica_device_setter` gives, or None for TensorFlow's choice.
      name: of the towers' name scopes.

    Returns:
      What `fn` returned for each of `tower_inputs`, in their order.

    Raises:
      ValueError: under eager execution; in the function of a tower or of a strategy's replica;
        there are no towers, or not as many devices; towers call different merging layers, or in
        different order, or one in a `tf.cond`, a loop or a function of their own.
      Exception: whatever `fn` raises; the other towers are given up.
    """
    raise_if_eager("tf1_bn.run_towers")
    tower_inputs = list(tower_inputs)
    _check_call(tower_inputs, devices)
    graph = tf.get_default_graph()
    # Otherwise all threads share one stack of devices and control dependencies.
    graph.switch_to_thread_local()
    scope = tf.get_variable_scope()
    operations = len(graph.get_operations())
    around = _Around(graph, operations, graph.get_name_scope(), scope, scopes_around(), here.made)
    towers = []
    for index, given in enumerate(tower_inputs):
        place = _Place(index, f"{name}_{index}", None if devices is None else devices[index])
        towers.append(_Tower(fn, given if isinstance(given, tuple) else (given,), place, around))
    threads = [tower.thread for tower in towers]
    try:
        try:
            _run_in_step(towers)
        finally:
            SteppedThread.end(threads)
    except BaseException:
        # Ctrl-C may have come before the line above.
        SteppedThread.end(threads)
        raise
    return [
        refused_around(thread.result, given, operations)
        for thread, given in zip(threads, tower_inputs)
    ]


def _check_call(tower_inputs: list[Any], devices: Sequence[Any] | None) -> None:
    """Raises ValueError for a call in a tower or replica, no towers, or not as many devices."""
    if in_tower() or in_replica():
        raise ValueError(
            "`tf1_bn.run_towers` cannot be called in the function of a tower or of a replica: all "
            "towers are given to one call, and a strategy makes its replicas itself "
            f"(got the call inside of a {'tower' if in_tower() else 'replica'})."
        )
    if not tower_inputs:
        raise ValueError("`tower_inputs` must hold the inputs of at least one tower (got none).")
    if devices is not None and len(devices) != len(tower_inputs):
        raise ValueError(
            f"`devices` must name one device for each of the {len(tower_inputs)} towers "
            f"(got {list(devices)!r})."
        )


class _Around(NamedTuple):
    """What is open around the call of `run_towers`; `operations` are in the graph already.

    `made` collects the variables that are made in the call.
    """

    graph: Any
    operations: int
    name_scope: str
    variable_scope: Any
    scopes: Any
    made: Any

    def holds_code(self) -> bool:
        """Whether no conditional, loop or function has been entered since the call."""
        if tf.get_default_graph() is not self.graph:
            return False
        opener = enclosing_v1_op()
        return opener is None or opener not in self.graph.get_operations()[self.operations :]


class _Place(NamedTuple):
    """What tells a tower from the others."""

    number: int
    name: str
    device: Any

    @contextlib.contextmanager
    def entered(self, around: _Around) -> Iterator[None]:
        """The contexts of this tower, in a thread that has none."""
        scope = around.variable_scope
        reuse = scope.reuse or (tf.AUTO_REUSE if self.number else None)
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            enter(around.graph.as_default())
            enter(tf.variable_scope(scope, reuse=reuse, auxiliary_name_scope=False))
            enter(tf.name_scope(f"{around.name_scope}/" if around.name_scope else None))
            enter(tf.name_scope(self.name))
            # A thread inherits devices under control flow v1 only, so here none does.
            enter(tf.device(None))
            if self.device is not None:
                enter(tf.device(self.device))
            yield


class _Encounter:
    """The statistics that the towers bring to one call of a layer, in their order."""

    def __init__(self, parts: list[BatchStatistics]) -> None:
        self._parts = parts
        self._shared: Shared | None = None

    def shared(self) -> Shared:
        """The merged statistics, made by the first tower that asks, where it stands."""
        if self._shared is None:
            self._shared = Shared(merge_statistics(self._parts), [])
        return self._shared


class _Tower(Meeting):
    """One call of the model function in a thread that runs when it is told to."""

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], place: _Place, around: _Around
    ) -> None:
        self.name = place.name
        self._around = around
        self.layer_name = ""
        self.brought: BatchStatistics | None = None
        self.encounter: _Encounter | None = None
        work = functools.partial(self._build, fn, args, place)
        self.thread = SteppedThread(work, place.name)

    def state(self) -> tuple[bool, str]:
        """Whether the tower has ended, and the layer that it waits at."""
        return self.thread.done, self.layer_name

    def check_place(self, layer_name: str) -> None:
        """Raises ValueError in a conditional, loop or function that the tower has entered."""
        if not self._around.holds_code():
            raise ValueError(
                "A layer that merges with other towers must stand outside of any tf.cond, "
                "tf.while_loop, tf.map_fn, RNN cell and function in its tower: the other towers "
                f"would be built in there (got the layer {layer_of(layer_name)!r} in {self.name})."
            )

    def meet(self, layer_name: str, statistics: BatchStatistics) -> Shared:
        """Hands over to the next tower; returns when all have brought their statistics."""
        self.layer_name, self.brought = layer_name, statistics
        self.thread.pause()
        assert self.encounter is not None
        shared = self.encounter.shared()
        return shared._replace(statistics=refused_by_tapes(shared.statistics, statistics))

    def _build(self, fn: Callable[..., Any], args: tuple[Any, ...], place: _Place) -> Any:
        around = self._around
        here.made = around.made
        merging = tower_thread(self, around.scopes)
        with place.entered(around), merging:
            return fn(*args)


def _run_in_step(towers: Sequence[_Tower]) -> None:
    for tower in towers:
        tower.thread.go_on()
    while True:
        for tower in towers:
            tower.thread.check()
        if all(tower.thread.done for tower in towers):
            return
        if len({tower.state() for tower in towers}) > 1:
            raise ValueError(
                "Towers must call the same merging layers in the same order, or the statistics of "
                f"one would be missing: {', '.join(map(_where, towers))}."
            )
        encounter = _Encounter([tower.brought for tower in towers if tower.brought is not None])
        for tower in towers:
            tower.encounter = encounter
            tower.thread.go_on()


def _where(tower: _Tower) -> str:
    ended, layer_name = tower.state()
    layer = layer_of(layer_name)
    return f"{tower.name} has ended" if ended else f"{tower.name} is at the layer {layer!r}"
