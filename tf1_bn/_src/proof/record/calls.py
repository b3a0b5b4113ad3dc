# SPDX-License-Identifier: Apache-2.0
"""Notices every batch-norm call while a program builds its graph; adds no op to that graph."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ...call.calls import Call, Finish, on_call
from ...call.updates import in_place
from ...contrib.batch_norm import batch_norm
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from ..graph_facts import describe_variable, ops_between, static_shape, written_by
from ..recording.consistency import LAYER_STATE, role_of
from .originals import original_functions, original_layers, replace_inside
from .seen import (
    Seen,
    captured,
    is_tensor,
    note_adjustment,
    note_phase,
    seen_contrib,
    seen_layer,
)

_VARIABLE_OPS = ("Variable", "VariableV2", "VarHandleOp")


class CallWatch:
    """All calls of the process while it is `listening`, in order."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._inside = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listens to this package's calls, and hooks into other makers of batch norm."""
        with contextlib.ExitStack() as hooks:
            hooks.enter_context(on_call(self._our_call))
            for cls in original_layers():
                hooks.enter_context(replaced(cls, "__call__", self._layer_call(cls)))
            for function in original_functions():
                undo = replace_inside(function, self._contrib_call)
                if undo is not None:
                    hooks.callback(undo)
            yield

    def _our_call(self, maker: Any, inputs: Any, arguments: Mapping[str, Any]) -> Finish:
        """Listens to the calls of this package: a layer's, or those of `contrib.batch_norm`."""
        if self._inside:
            return lambda outputs, calls: None
        is_layer = maker is not batch_norm
        seen = seen_layer(maker, inputs) if is_layer else seen_contrib(maker, arguments)
        before = _collected(seen)

        def finish(outputs: Any, calls: Sequence[Call]) -> None:
            for call in calls:
                if call.adjusted is not None:
                    note_adjustment(seen, call.adjusted)
            _note_collected(seen, before)
            training = arguments.get("training" if is_layer else "is_training", False)
            self._finish(seen, training, outputs, _layer_state(maker) if is_layer else None)

        return finish

    def _layer_call(self, cls: Any) -> Any:
        original = cls.__call__

        @functools.wraps(original)
        def call(layer: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return original(layer, inputs, *args, **kwargs)
            seen = seen_layer(layer, inputs)
            training = args[0] if args else kwargs.get("training", False)
            adjustment = layer.adjustment
            layer.adjustment = captured(seen, adjustment)
            try:
                with self._building(seen):
                    outputs = original(layer, inputs, *args, **kwargs)
            finally:
                layer.adjustment = adjustment
            self._finish(seen, training, outputs, _layer_state(layer))
            return outputs

        return call

    def _contrib_call(self, original: Any) -> Any:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def batch_norm(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return original(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            seen = seen_contrib(original, given)
            given["adjustment"] = captured(seen, given["adjustment"])
            with self._building(seen):
                outputs = original(*bound.args, **bound.kwargs)
            self._finish(seen, given["is_training"], outputs, None)
            return outputs

        # Arg scopes know a function by this key, or by its text.
        batch_norm._key_op = getattr(original, "_key_op", str(original))  # type: ignore[attr-defined]
        return batch_norm

    @contextlib.contextmanager
    def _building(self, seen: Seen) -> Iterator[None]:
        """Around the original: calls that it makes itself are parts of this one."""
        before = _collected(seen)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
        _note_collected(seen, before)

    def _finish(self, seen: Seen, training: Any, outputs: Any, variables: Any) -> None:
        if tf.executing_eagerly():
            # What runs outside of a graph has no session run to be noted in.
            return
        seen.outputs = outputs
        note_phase(seen, training)
        if variables is None:
            variables = _variables_among(_between(seen), seen.graph)
        _note_state(seen, variables)
        _note_structure(seen)
        _check_it_can_run(seen)
        self.seen.append(seen)


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Gives a class another attribute of its own, and afterwards what it had."""
    own = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def _collected(seen: Seen) -> tuple[list[Any], list[Any]]:
    """The update ops and the losses that the graph has collected so far."""
    keys = (seen.updates_key, tf.GraphKeys.REGULARIZATION_LOSSES)
    updates, losses = (list(seen.graph.get_collection(key)) for key in keys)
    return updates, losses


def _note_collected(seen: Seen, before: tuple[list[Any], list[Any]]) -> None:
    """Notes the updates and losses that the call has left in collections."""
    updates, losses = _collected(seen)
    seen.updates = [op_of(update) for update in updates[len(before[0]) :]]
    seen.structure["losses"] = len(losses) - len(before[1])


# -- variables -----------------------------------------------------------------------------------


def _layer_state(layer: Any) -> list[tuple[str, Any]]:
    attributes = [(name, getattr(layer, name, None)) for name in LAYER_STATE]
    return [(name, value) for name, value in attributes if value is not None]


def _between(seen: Seen) -> set[Operation]:
    """Every op that the output or an update needs, but for what the input needs."""
    return ops_between([seen.outputs, *seen.updates], getattr(seen.inputs, "op", None))


def _variables_among(ops: Iterable[Operation], graph: Any) -> list[tuple[str, Any]]:
    """Variables by their names below the scope they have in common."""
    names = {op.name for op in ops if op.type in _VARIABLE_OPS}
    with graph.as_default():
        known = [v for v in [*tf.global_variables(), *tf.local_variables()] if v.op.name in names]
    if not known:
        return []
    # Of several scopes the moving mean's is the layer's own.
    own = [v.op.name[: -len("/moving_mean")] for v in known if v.op.name.endswith("/moving_mean")]
    scope = own[0] if own else os.path.dirname(known[0].op.name)
    inside = [v for v in known if v.op.name.startswith(f"{scope}/")]
    return [(role_of(v.op.name, scope), v) for v in inside]


def _note_state(seen: Seen, variables: list[tuple[str, Any]]) -> None:
    for role, variable in variables:
        parts = hasattr(variable, "as_tensor") and hasattr(variable, "__iter__")
        seen.state[role] = list(variable) if parts else [variable]
    for role in ("moving_mean", *seen.state):
        if role in seen.state and hasattr(seen.state[role][0], "initializer"):
            full = seen.state[role][0].op.name
            seen.name = full[: -len(role) - 1] if full.endswith(f"/{role}") else full
            return
    seen.cannot_run("none of its variables is one")


def _note_structure(seen: Seen) -> None:
    outputs = seen.outputs
    variables = [v for parts in seen.state.values() for v in parts if hasattr(v, "initializer")]
    source = getattr(seen.inputs, "op", None)
    seen.structure.update(
        variables=[describe_variable(v, seen.graph) for v in variables],
        updates=[
            {"name": update.name, "writes": written_by(update, variables, source)}
            for update in seen.updates
        ],
        output={
            "name": outputs.name,
            "dtype": outputs.dtype.base_dtype.name,
            "shape": static_shape(outputs),
        },
        maker=seen.maker if isinstance(seen.maker, str) else seen.maker.__name__,
    )


def _check_it_can_run(seen: Seen) -> None:
    needed = [seen.inputs, seen.outputs, *seen.values.values()]
    if seen.phase == "dynamic":
        needed.append(seen.training)
    if not is_tensor(seen.inputs):
        seen.cannot_run("its input is no tensor of the graph")
    elif getattr(seen.graph, "building_function", False):
        seen.cannot_run("it is inside a function, where no session run sees it")
    elif not all(seen.graph.is_fetchable(getattr(t, "op", t)) for t in needed):
        seen.cannot_run("it is inside a conditional or a loop, where nothing can be fetched")
    elif in_place() and seen.phase != "inference":
        seen.cannot_run("its averages move with its output, so there is no state before a step")
