# SPDX-License-Identifier: Apache-2.0
"""In-graph towers that are built in step, so that their layers can merge batch statistics."""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, ContextManager, Iterator, Sequence

from ..call.calls import Call
from ..runtime.graph_place import enclosing_v1_op
from ..runtime.open_scopes import in_replica, inheriting, scopes_around
from ..runtime.tensorflow_v1 import as_written, raise_if_eager, tf
from ..state.undoing import all_or_nothing, running
from .batch_statistics import BatchStatistics, layer_of, merge_statistics
from .merging import Meet, in_tower, tower_thread
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
    operations = len(graph.get_operations())
    tower_around, holds_code = _contexts_here(), functools.partial(_holds_code, graph, operations)

    def tower(index: int, given: Any) -> SteppedThread:
        device = None if devices is None else devices[index]

        def build(thread: SteppedThread) -> Any:
            meeting = functools.partial(_meeting, thread, holds_code)
            with tower_around(index, thread.name, device), tower_thread(meeting):
                return fn(*given) if isinstance(given, tuple) else fn(given)

        return SteppedThread(build, f"{name}_{index}")

    threads = [tower(index, given) for index, given in enumerate(tower_inputs)]
    try:
        try:
            _run_in_step(threads)
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


def _contexts_here() -> Callable[[int, str, Any], ContextManager[None]]:
    """A function that makes what is open here a context for the thread of a tower.

    It takes the number of the tower, the name of its scope, and its device or None.
    """
    graph, scope = tf.get_default_graph(), tf.get_variable_scope()
    name_scope, scopes, made = graph.get_name_scope(), scopes_around(), running.made

    @contextlib.contextmanager
    def entered(number: int, name: str, device: Any) -> Iterator[None]:
        running.made = made
        reuse = scope.reuse or (tf.AUTO_REUSE if number else None)
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            enter(graph.as_default())
            enter(tf.variable_scope(scope, reuse=reuse, auxiliary_name_scope=False))
            enter(tf.name_scope(f"{name_scope}/" if name_scope else None))
            enter(tf.name_scope(name))
            # A thread inherits devices under control flow v1 only, so here none does.
            enter(tf.device(None))
            if device is not None:
                enter(tf.device(device))
            enter(inheriting(scopes))
            yield

    return entered


def _holds_code(graph: Any, operations: int) -> bool:
    """Whether no conditional, loop or function has been entered since the graph had so many ops."""
    if tf.get_default_graph() is not graph:
        return False
    opener = enclosing_v1_op()
    return opener is None or opener not in graph.get_operations()[operations:]


def _meeting(thread: SteppedThread, holds_code: Callable[[], bool], layer_name: str) -> Meet:
    """How the tower of this thread merges the statistics of a layer with the others'.

    Raises:
      ValueError: the layer stands in a conditional, loop or function that the tower has entered.
    """
    if not holds_code():
        raise ValueError(
            "A layer that merges with other towers must stand outside of any tf.cond, "
            "tf.while_loop, tf.map_fn, RNN cell and function in its tower: the other towers "
            f"would be built in there (got the layer {layer_of(layer_name)!r} in {thread.name})."
        )

    def meet(own: BatchStatistics) -> tuple[BatchStatistics, list[Call]]:
        # The next tower goes on, until all have brought their statistics.
        merged, applied = thread.pause((layer_name, own))
        return refused_by_tapes(merged(), own), applied

    return meet


def _run_in_step(threads: Sequence[SteppedThread]) -> None:
    for thread in threads:
        thread.go_on()
    while True:
        for thread in threads:
            thread.check()
        if all(thread.done for thread in threads):
            return
        if len({thread.done or thread.brought[0] for thread in threads}) > 1:
            raise ValueError(
                "Towers must call the same merging layers in the same order, or the statistics of "
                f"one would be missing: {', '.join(map(_where, threads))}."
            )
        parts = [thread.brought[1] for thread in threads]
        # The first tower that asks merges them, where it stands.
        merged = functools.lru_cache(maxsize=None)(functools.partial(merge_statistics, parts))
        applied: list[Call] = []
        for thread in threads:
            thread.go_on((merged, applied))


def _where(thread: SteppedThread) -> str:
    if thread.done:
        return f"{thread.name} has ended"
    return f"{thread.name} is at the layer {layer_of(thread.brought[0])!r}"
