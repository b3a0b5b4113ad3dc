# SPDX-License-Identifier: Apache-2.0
"""Variables of a session read and written by the graph's own ops, so that none need be added."""

from __future__ import annotations

import contextlib
from typing import Any, Iterable, Iterator, Mapping, NamedTuple

import numpy as np

from ...runtime.tensorflow_v1 import Operation, Tensor, tf

_READS = ("ReadVariableOp",)
_ASSIGNS = ("Assign", "AssignVariableOp")
_TRIES = 3


class Held(NamedTuple):
    """A variable: what reads it, what assigns it, and the tensor that is fed with the value."""

    name: str
    read: Tensor
    assign: Operation
    value: Tensor

    def fitted(self, values: Any) -> Any:
        """`values` in the variable's shape and dtype.

        Raises:
          ValueError: it has another number of values.
        """
        array, shape = np.asarray(values), self.read.shape
        dtype = self.value.dtype.base_dtype.as_numpy_dtype
        if shape.ndims is None:
            return array.astype(dtype)
        sizes = shape.as_list()
        if array.size != int(np.prod(sizes)):
            raise ValueError(
                f"{self.name} has the shape {sizes}, and there are {array.size} values"
            )
        return array.reshape(sizes).astype(dtype)


def held_in(graph: Any, names: Iterable[str]) -> dict[str, Held]:
    """The variables of a graph by name.

    Raises:
      ValueError: the graph has no such variable, or no op outside of conditionals and loops that
        assigns it, as its initializer does.
    """
    return {name: _held(graph, name) for name in dict.fromkeys(names)}


def _held(graph: Any, name: str) -> Held:
    try:
        variable = graph.get_operation_by_name(name)
    except KeyError:
        raise ValueError(f"{name} is not in the graph of the session") from None
    consumers = variable.outputs[0].consumers()
    resource = variable.type == "VarHandleOp"
    reads = [op.outputs[0] for op in consumers if op.type in _READS] if resource else []
    reads = reads if resource else [variable.outputs[0]]
    read = next((tensor for tensor in reads if graph.is_fetchable(tensor)), None)
    assigns = [op for op in consumers if op.type in _ASSIGNS and op.inputs[0].op is variable]
    # Its own initializer first: a Saver's op would serve as well.
    assigns.sort(key=lambda op: not op.name.startswith(f"{name}/"))
    assign = next((op for op in assigns if _is_open(graph, op)), None)
    if read is None or assign is None:
        raise ValueError(
            f"{name}: the graph has no op that {'reads' if read is None else 'sets'} it"
        )
    return Held(name, read, assign, assign.inputs[1])


def _is_open(graph: Any, op: Operation) -> bool:
    return bool(graph.is_fetchable(op) and graph.is_feedable(op.inputs[1]))


def values_in(session: Any, held: Iterable[Held]) -> dict[str, Any]:
    """What the variables hold.

    Raises:
      ValueError: one is not initialized.
    """
    reads = {each.name: each.read for each in held}
    try:
        found: dict[str, Any] = session.run(reads)
    except tf.errors.FailedPreconditionError as error:
        told = line_of(error)
        raise ValueError(f"initialize or restore the variables first: {told}") from None
    return found


def line_of(error: BaseException) -> str:
    """The line of an error that says what is wrong."""
    lines = [line.strip() for line in str(error).split("[[")[0].splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # Newer TensorFlow says where the node was made, and then what is wrong.
    return lines[-1 if lines[0].startswith("Graph execution error") else 0]


def write(session: Any, held: Mapping[str, Held], values: Mapping[str, Any]) -> None:
    """Sets variables; in a single run, but where an op's value is another's as well."""
    waiting = dict(values)
    while waiting:
        feed: dict[Any, Any] = {}
        ops, together = [], {}
        for name, value in waiting.items():
            if held[name].value.name not in together:
                together[held[name].value.name] = name
                feed[held[name].value] = held[name].fitted(value)
                ops.append(held[name].assign)
        session.run(ops, feed)
        waiting = {n: v for n, v in waiting.items() if n not in together.values()}


@contextlib.contextmanager
def unchanged_by_failure(session: Any, held: Mapping[str, Held]) -> Iterator[dict[str, Any]]:
    """Gives what the variables hold, and puts it back after any exception, Ctrl-C included."""
    before = values_in(session, held.values())
    try:
        yield before
    except BaseException:
        _put_back(session, held, before)
        raise


def _put_back(session: Any, held: Mapping[str, Held], before: Mapping[str, Any]) -> None:
    for tried in range(_TRIES):
        try:
            return write(session, held, before)
        except KeyboardInterrupt:
            # Who presses it once more wants out, and not half of the variables.
            if tried == _TRIES - 1:
                raise
