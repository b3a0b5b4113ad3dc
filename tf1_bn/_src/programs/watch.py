# SPDX-License-Identifier: Apache-2.0
"""Counts, for `run`, the layers a program builds and whether its sessions run their updates.

Private name, and why: sessions resolve what they are to fetch in
`tensorflow.python.client.session._FetchHandler`. Wrapping its `targets`, which has returned before
anything runs, leaves no frame in a program's tracebacks; wrapping `Session.run` would.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import weakref
from typing import Any, Callable, Iterable, Mapping, Sequence

from ..call.calls import Call, Finish, on_call
from ..files.text_table import aligned, counted
from ..plan.kernel_choice import KernelChoice
from ..runtime.graph_search import needed_ops
from ..runtime.tensorflow_v1 import Operation, tf
from .places import Ledger, attribute

# A moving mean is updated by subtraction; initializers and a Saver assign.
_UPDATES = ("AssignSub", "AssignSubVariableOp")
_PASSES_ON = ("Identity", "RefIdentity", "Switch", "RefSwitch", "Enter", "RefEnter")


class Watch:
    """The counts of this process, from `start` on."""

    def __init__(self) -> None:
        # Of graphs numbers are kept, and of the rest names: nothing may keep a graph alive.
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next_number = itertools.count()
        self._built: set[tuple[int, str]] = set()
        self._updatable: set[tuple[int, str]] = set()
        self._updated: set[tuple[int, str]] = set()
        self._fetches_seen: set[tuple[Any, ...]] = set()
        self._choices: dict[tuple[str, KernelChoice], None] = {}
        self._hooks = contextlib.ExitStack()
        self._sees_runs = False

    def start(self) -> None:
        """Listens to calls, and hooks into sessions."""
        self._hooks.enter_context(on_call(self._called))
        session = importlib.import_module("tensorflow.python.client.session")
        handler: Any = getattr(session, "_FetchHandler", None)
        if hasattr(handler, "targets") and hasattr(handler, "fetches"):
            self._sees_runs = True
            targets = attribute(handler, "targets", self._telling(handler.targets))
            self._hooks.callback(Ledger().place([targets]))

    def stop(self) -> None:
        """Takes the hooks away; what was counted stays."""
        self._hooks.close()

    def report(self) -> str:
        """One line: how many layers, and whether their updates ran."""
        built, updatable, updated = map(len, (self._built, self._updatable, self._updated))
        layers = f"{counted(built, 'batch-norm layer')} built"
        if not built:
            return "no batch-norm layer was built"
        if not updatable:
            return f"{layers}, none with update ops (training was False, or trainable)"
        if not self._sees_runs:
            return f"{layers}, {updatable} with update ops; this TensorFlow does not show what runs"
        if not updated:
            return (
                f"{layers}, {updatable} with update ops; no session run executed any of these, so "
                "the moving statistics did not move"
            )
        return f"{layers}, {updatable} with update ops; session runs executed those of {updated}"

    def kernels(self) -> list[str]:
        """A table of the layers in the order of their calls, with their kernels and the reason."""
        rows = dict.fromkeys(
            (name, choice.kernel.value, choice.inference.value, choice.reason)
            for name, choice in self._choices
        )
        return aligned([("layer", "training", "inference", "why"), *rows]) if rows else []

    def _number(self, graph: Any) -> int:
        if graph not in self._numbers:
            self._numbers[graph] = next(self._next_number)
        return self._numbers[graph]

    def _called(self, maker: Any, inputs: Any, arguments: Mapping[str, Any]) -> Finish:
        def finish(outputs: Any, calls: Sequence[Call]) -> None:
            for call in calls:
                self._note(call, is_layer=hasattr(maker, "build"))

        return finish

    def _note(self, call: Call, is_layer: bool) -> None:
        mean = _moving_mean(call)
        key = (self._number(tf.get_default_graph()), mean)
        # Layers that share variables under reuse count as one.
        self._built.add(key)
        if call.updates or (not is_layer and _moves_with_outputs(call)):
            self._updatable.add(key)
        self._choices[mean.rpartition("/")[0], call.choice] = None

    def _telling(self, targets: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def told(handler: Any) -> Any:
            found = targets(handler)
            self._fetched([*found, *(tensor.op for tensor in handler.fetches())])
            return found

        return told

    def _fetched(self, ops: list[Operation]) -> None:
        number = self._numbers.get(ops[0].graph) if ops else None
        if number is None or self._updated == self._updatable:
            return
        seen = (number, *sorted(op.name for op in ops))
        # An op's inputs are fixed, so what it depends on was all there the first time.
        if seen not in self._fetches_seen:
            self._fetches_seen.add(seen)
            self._updated |= self._updatable & {(number, name) for name in _moved_by(ops)}


def _moving_mean(call: Call) -> str:
    """The full name of the variable; wrappers of a custom getter may have none to tell."""
    name = getattr(call.variables.moving_mean, "name", None)
    if isinstance(name, str):
        return name.split(":")[0]
    moved = sorted(_moved_by(call.updates))
    return moved[0] if moved else str(call.outputs.op.name)


def _moves_with_outputs(call: Call) -> bool:
    """Whether a call of contrib without `updates` has them in its outputs, where a walk sees them.

    In a conditional of control flow v2 it does not, and nothing can be said.
    """
    return call.active is None or (call.active is not False and not tf.control_flow_v2_enabled())


def _moved_by(ops: Iterable[Operation]) -> list[str]:
    """Names of the variables that running `ops` subtracts something from."""
    return [_variable_name(op.inputs[0].op) for op in needed_ops(ops) if op.type in _UPDATES]


def _variable_name(op: Operation) -> str:
    while op.type in _PASSES_ON:
        op = op.inputs[0].op
    return str(op.name)
