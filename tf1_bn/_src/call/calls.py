# SPDX-License-Identifier: Apache-2.0
"""What is known of a finished call: noted once in its graph, and told to whoever listens."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

from ..plan.kernel_choice import KernelChoice
from ..runtime.graph_place import calls_of
from ..runtime.tensorflow_v1 import Operation, Tensor
from ..runtime.training_flag import Phase
from ..state.variables import BatchNormVariables


def _no_updates(*_: Any) -> list[Operation]:
    return []


class Call(NamedTuple):
    """One normalization in a graph.

    Attributes:
      inputs: the tensor that was normalized, of any shape with known channels.
      training: True, False or a bool scalar tensor.
      outputs: of the shape and dtype of `inputs`.
      variables: those of the layer, each of the shape of its parameters.
      choice: the kernel of each phase, and why.
      updates: the ops that move the moving mean and variance; none in inference, and none where
        `contrib.batch_norm` without `updates_collections` built them into the outputs.
      updates_again: builds the same updates anew; each reads its variable when it runs, so that the
        calls of a shared layer can be chained. Takes other moments to move towards, and another
        condition than `active`.
      moments: the batch's mean and variance, of the shape of the parameters; None in inference.
      active: a bool scalar, where the batch counts; None for always, False for never.
      adjusted: the scale and bias that `adjustment` returned, as they were; None without one.
      collected: whether `updates` are left for the program, or `tf1_bn.minimize`, to run.
    """

    inputs: Tensor
    training: Phase
    outputs: Tensor
    variables: BatchNormVariables
    choice: KernelChoice
    updates: tuple[Operation, ...] = ()
    updates_again: Callable[..., list[Operation]] = _no_updates
    moments: Any = None
    active: Any = False
    adjusted: tuple[Any, Any] | None = None
    collected: bool = False


# Called once the call is built, with its outputs and its normalizations.
Finish = Callable[[Any, Sequence[Call]], None]
Listener = Callable[[Any, Any, Mapping[str, Any]], Finish]


# Most programs have none, and tell nobody.
listeners: list[Listener] = []


@contextlib.contextmanager
def on_call(listener: Listener) -> Iterator[None]:
    """Inside, `listener` hears of every call that any thread of the process builds.

    A call is one of a layer or of `contrib.batch_norm`; what such a call calls itself is part of
    it, and not told apart. Nothing is kept once it is built: a listener decides what it keeps.

        def listener(maker, inputs, arguments):
            # Nothing has been built yet. `maker` is the layer, or the function `batch_norm`;
            # `inputs` is as given; `arguments` are those of the call by their names, as given.
            def finish(outputs, calls):
                # `calls` has one `Call`. It has several if a subclass calls `super().call` more
                # than once, and none if it does not. `outputs` is what the caller gets.
                ...
            return finish

        with on_call(listener):
            build()

    `finish` is not called if the call fails; an error that it raises makes the call fail.
    """
    listeners.append(listener)
    try:
        yield
    finally:
        # By identity: two listeners may be equal.
        listeners[:] = [other for other in listeners if other is not listener]


def collected_calls(graph: Any) -> list[Call]:
    """The calls of `graph` whose updates are for the program to run, in order."""
    return [call for call in calls_of(graph) if call.collected]
