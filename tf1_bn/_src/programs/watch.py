# SPDX-License-Identifier: Apache-2.0
"""Counts, for `run`, the layers a program builds and whether its sessions run their updates.

Private name, and why: sessions resolve what they are to fetch in
`tensorflow.python.client.session._FetchHandler`. Overriding its `targets`, which has returned
before anything runs, leaves no frame in a program's tracebacks; wrapping `Session.run` would.
"""

from __future__ import annotations

import importlib
import weakref
from typing import Any, Iterable, NamedTuple

from ..api.layer import BatchNormalization
from ..objects.graph_layer import GraphLayer
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
        self._ledger = Ledger()
        self._sees_runs = False

    def start(self) -> None:
        """Hooks into the layer class and into sessions."""
        layer = BatchNormalization
        moves = [
            Move(attribute(layer, "build"), self._build(layer.build)),
            Move(attribute(GraphLayer, "add_update"), self._add_update(GraphLayer.add_update)),
            Move(attribute(layer, "_plan"), self._plan(layer._plan)),
            Move(attribute(layer, "_after_updates"), self._after_updates(layer._after_updates)),
        ]
        session = importlib.import_module("tensorflow.python.client.session")
        handler = getattr(session, "_FetchHandler", None)
        if handler is not None and hasattr(handler, "targets") and hasattr(handler, "fetches"):
            self._sees_runs = True
            moves.append(Move(attribute(session, "_FetchHandler"), self._handler(handler)))
        self._ledger.place(moves)

    def stop(self) -> None:
        self._ledger.release(None)

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
        rows = [_Row(), *self._rows]
        widths = [max(len(cell) for cell in column) for column in zip(*rows)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join(lines)

    def _record(self, graph: Any) -> _GraphRecord:
        if graph not in self._record_of:
            self._record_of[graph] = _GraphRecord()
            self._records.append(self._record_of[graph])
        return self._record_of[graph]

    def _build(self, build: Any) -> Any:
        def build_and_count(layer: Any, input_shape: Any) -> None:
            build(layer, input_shape)
            # Layers that share variables under reuse count as one.
            self._record(tf.get_default_graph()).built.add(layer.moving_mean.name)

        return build_and_count

    def _add_update(self, add_update: Any) -> Any:
        def add_update_and_count(layer: Any, updates: Any, inputs: Any = None) -> None:
            add_update(layer, updates, inputs)
            if updates:
                self._record(tf.get_default_graph()).updatable.add(layer.moving_mean.name)

        return add_update_and_count

    def _plan(self, plan: Any) -> Any:
        def plan_and_note(layer: Any, geometry: Any, variables: Any, training: Any) -> Any:
            planned = plan(layer, geometry, variables, training)
            name, choice = variables.moving_mean.name.rpartition("/")[0], planned.choice
            row = _Row(name, choice.kernel.value, choice.inference.value, choice.reason)
            self._rows.setdefault(row)
            return planned

        return plan_and_note

    def _after_updates(self, after_updates: Any) -> Any:
        def after_updates_and_count(layer: Any, applied: Any) -> Any:
            self._record(tf.get_default_graph()).updatable.add(layer.moving_mean.name)
            return after_updates(layer, applied)

        return after_updates_and_count

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


def _moved_by(ops: Iterable[Operation]) -> list[str]:
    """Names of the variables that running `ops` subtracts something from."""
    moved = []
    pending = list(ops)
    seen = set(pending)
    while pending:
        op = pending.pop()
        if op.type in _UPDATES:
            moved.append(_variable_name(op.inputs[0].op))
        for source in [tensor.op for tensor in op.inputs] + list(op.control_inputs):
            if source not in seen:
                seen.add(source)
                pending.append(source)
    return moved


def _variable_name(op: Operation) -> str:
    while op.type in _PASSES_ON:
        op = op.inputs[0].op
    return f"{op.name}:0"
