# SPDX-License-Identifier: Apache-2.0
"""The session that is exported from: only asked for values, never for an op that was not there."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from ...discovery.reading.tracing import VARIABLES
from ...runtime.tensorflow_v1 import tf
from ..surgery.flags import Setting

_READS = ("ReadVariableOp", "Identity")


def values_of(session: Any, names: Sequence[str]) -> dict[str, Any]:
    """The arrays of variables, by the names of their ops.

    Raises:
      ValueError: one has no value, a value that is not finite, or no op that reads it.
    """
    reads = {name: _read(session.graph, name) for name in names}
    try:
        found: dict[str, Any] = session.run(reads)
    except tf.errors.FailedPreconditionError as error:
        raise ValueError(
            f"the session has a variable without a value; restore the checkpoint first: "
            f"{first_line(error)}"
        ) from None
    for name, array in found.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"the variable {name} holds NaN or infinity.")
    return found


def _read(graph: Any, name: str) -> Any:
    try:
        op = graph.get_operation_by_name(name)
    except KeyError:
        raise ValueError(f"the variable {name} stands inside a function.") from None
    if op.type != "VarHandleOp":
        return op.outputs[0]
    readers = [each for each in op.outputs[0].consumers() if each.type == "ReadVariableOp"]
    # What waits for something may stand in a branch.
    readers.sort(key=lambda each: (not each.name.startswith(f"{name}/"), len(each.control_inputs)))
    if not readers:
        raise ValueError(f"no op of the session's graph reads the variable {name}.")
    return readers[0].outputs[0]


def fed_settings(graph: Any, settings: Iterable[Setting]) -> dict[Any, Any] | None:
    """What to feed so that the session does what was set for good; None where it cannot."""
    feed = {}
    for (name, place), value in settings:
        try:
            op = graph.get_operation_by_name(name)
        except KeyError:
            return None
        if op.type not in VARIABLES:
            feed[op.outputs[place]] = value
            continue
        readers = [each for each in op.outputs[0].consumers() if each.type in _READS]
        feed.update({each.outputs[0]: value for each in readers})
    return feed


def outputs_of(session: Any, outputs: Sequence[Any], feed: Mapping[Any, Any]) -> list[Any]:
    """What the session says.

    Raises:
      ValueError: it cannot run the test batch, or says what is not finite.
    """
    try:
        found: list[Any] = session.run(list(outputs), feed)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise ValueError(
            f"the session cannot run the test batch; `batch` gives another: {first_line(error)}"
        ) from None
    for tensor, array in zip(outputs, found):
        if np.asarray(array).dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{tensor.name} is NaN or infinite in the session, in inference.")
    return found


def first_line(error: Exception) -> str:
    """What an error of TensorFlow says, without the places in the program."""
    text = getattr(error, "message", None) or str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:300]
