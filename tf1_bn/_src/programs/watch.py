# SPDX-License-Identifier: Apache-2.0
"""Counts, for `run`, the layers a program builds and whether its sessions run their updates.

Private name, and why: sessions resolve what they are to fetch in
`tensorflow.python.client.session._FetchHandler`. Overriding its `targets`, which has returned
before anything runs, leaves no frame in a program's tracebacks; wrapping `Session.run` would.
"""

from __future__ import annotations

import contextlib
import importlib
import weakref
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from ..call.calls import Call, Finish, on_call
from ..files.text_table import aligned
from ..runtime.graph_search import needed_ops
from ..runtime.tensorflow_v1 import Operation, tf
from .places import Ledger, Move, attribute

# A moving mean is updated by subtraction; initializers and a Saver assign.
_UPDATES = ("AssignSub", "AssignSubVariableOp")
_PASSES_ON = ("Identity", "RefIdentity", "Switch", "RefSwitch", "Enter", "RefEnter")


class _GraphRecord:
    """What is known of one graph, in names: it must not keep the graph alive."""

    def __init__(self) -> None:
        self.built: set[str] = set()
        self.updatable: set[str] = set()
        self.updated: set[str] = set()
        self.fetches_seen: set[tuple[str, ...]] = set()


class _Row(NamedTuple):
    """What `kernels` says of a layer, and the heading of each column."""

    layer: str = "layer"
    training: str = "training"
    inference: str = "inference"
    reason: str = "why"


class Watch:
    """The counts of this process, from `start` on."""

    def __init__(self) -> None:
        self._records: list[_GraphRecord] = []
        self._record_of: weakref.WeakKeyDictionary[Any, _GraphRecord] = weakref.WeakKeyDictionary()
        self._rows: dict[_Row, None] = {}
        self._hooks = contextlib.ExitStack()
        self._sees_runs = False

    def start(self) -> None:
        """Listens to calls, and hooks into sessions."""
        self._hooks.enter_context(on_call(self._called))
        session = importlib.import_module("tensorflow.python.client.session")
        handler = getattr(session, "_FetchHandler", None)
        if handler is not None and hasattr(handler, "targets") and hasattr(handler, "fetches"):
            self._sees_runs = True
            ledger = Ledger()
            ledger.place([Move(attribute(session, "_FetchHandler"), self._handler(handler))])
            self._hooks.callback(ledger.release, None)

    def stop(self) -> None:
        """Takes the hooks away; what was counted stays."""
        self._hooks.close()

    def report(self) -> str:
        """One line: how many layers, and whether their updates ran."""
        built = sum(len(record.built) for record in self._records)
        updatable = sum(len(record.updatable) for record in self._records)
        updated = sum(len(record.updated) for record in self._records)
        layers = f"{built} batch-norm layer{'' if built == 1 else 's'} built"
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

    def kernels(self) -> str:
        """A table of the layers in the order of their calls, with their kernels and the reason."""
        return "\n".join(aligned([_Row(), *self._rows]))

    def _record(self, graph: Any) -> _GraphRecord:
        if graph not in self._record_of:
            self._record_of[graph] = _GraphRecord()
            self._records.append(self._record_of[graph])
        return self._record_of[graph]

    def _called(self, maker: Any, inputs: Any, arguments: Mapping[str, Any]) -> Finish:
        def finish(outputs: Any, calls: Sequence[Call]) -> None:
            for call in calls:
                self._note(call, is_layer=hasattr(maker, "build"))

        return finish

    def _note(self, call: Call, is_layer: bool) -> None:
        mean, choice = _moving_mean(call), call.choice
        record = self._record(tf.get_default_graph())
        # Layers that share variables under reuse count as one.
        record.built.add(mean)
        if call.updates or (not is_layer and _moves_with_outputs(call)):
            record.updatable.add(mean)
        name = mean.rpartition("/")[0]
        self._rows.setdefault(
            _Row(name, choice.kernel.value, choice.inference.value, choice.reason)
        )

    def _handler(self, handler: Any) -> Any:
        watch = self

        class WatchedFetchHandler(handler):  # type: ignore[misc]
            def targets(self) -> Any:
                targets = super().targets()
                watch._fetched([*targets, *(tensor.op for tensor in self.fetches())])
                return targets

        return WatchedFetchHandler

    def _fetched(self, ops: list[Operation]) -> None:
        record = self._record_of.get(ops[0].graph) if ops else None
        if record is None or record.updated == record.updatable:
            return
        names = tuple(sorted(op.name for op in ops))
        # An op's inputs are fixed, so what it depends on was all there the first time.
        if names not in record.fetches_seen:
            record.fetches_seen.add(names)
            record.updated |= record.updatable & set(_moved_by(ops))


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
