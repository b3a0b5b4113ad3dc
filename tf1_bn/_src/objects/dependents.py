# SPDX-License-Identifier: Apache-2.0
"""What the calls of a layer made, found again by the inputs that it depends on."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Iterator, Tuple

from ..runtime.graph_search import needed_ops
from ..runtime.tensorflow_v1 import is_variable, tf


class Dependents:
    """Ops or tensors in the order they were added, each with what it was said to be made from.

    Args:
      is_conditional: a function of one of them and of that, to whether it needs any input.
    """

    def __init__(self, is_conditional: Callable[[Any, Any], bool]) -> None:
        self._is_conditional = is_conditional
        self._items: list[tuple[Any, Any]] = []

    def add(self, made: Any, source: Any) -> None:
        """Adds an op or a tensor; `source` is None for one that needs no input."""
        self._items.append((made, source))

    def all(self) -> list[Any]:
        """All of them."""
        return [made for made, _ in self._items]

    def of(self, inputs: Any) -> list[Any]:
        """Those conditional ones that depend on any of `inputs`; with None the unconditional ones.

        Raises:
          TypeError: `inputs` holds something else than tensors, ops and variables.
        """
        if inputs is None:
            return [made for made, source in self._items if not self._is_conditional(made, source)]
        wanted = _keys(inputs)
        return [
            made
            for made, source in self._items
            if self._is_conditional(made, source) and _leads_to(wanted, made)
        ]


class RunningCalls:
    """The call that runs, by thread: replicas are inside one layer at one time."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Any, Any, Any]] = {}

    @property
    def inputs(self) -> Any:
        """Of the innermost call of this thread; None outside of any."""
        return self._running.get(threading.get_ident(), (None,))[0]

    def checked(self, inputs: Any, spec: Any) -> Any:
        """The geometry of the innermost call if it is on this very tensor, otherwise None.

        None as well if a subclass has changed the spec since.
        """
        known, then, geometry = self._running.get(threading.get_ident(), (None, None, None))
        return geometry if known is inputs and then is spec else None

    @contextlib.contextmanager
    def on(self, inputs: Any, spec: Any, geometry: Any) -> Iterator[None]:
        """Inside, a call on `inputs` runs, which has been checked and has this geometry."""
        thread = threading.get_ident()
        outer = self._running.get(thread)
        self._running[thread] = inputs, spec, geometry
        try:
            yield
        finally:
            if outer is None:
                del self._running[thread]
            else:
                self._running[thread] = outer


def depends_on(target: Any, sources: Any) -> bool:
    """Whether a data or control edge leads from any of `sources` to an op or tensor of its graph.

    Raises:
      TypeError: `sources` holds something else than tensors, ops and variables.
    """
    return _leads_to(_keys(sources), target)


def is_given(target: Any, source: Any) -> bool:
    """Whether a source was given at all."""
    return source is not None


_Key = Tuple[Any, str]


def _leads_to(wanted: set[_Key], target: Any) -> bool:
    return bool(wanted) and (
        _key(target) in wanted
        or any(_key(node) in wanted for op in needed_ops([target]) for node in (op, *op.inputs))
    )


def _keys(sources: Any) -> set[_Key]:
    return {_key(source) for source in tf.nest.flatten(sources) if source is not None}


def _key(node: Any) -> _Key:
    # By name: later TensorFlows may hand out another object for the same tensor.
    if is_variable(node):
        # A variable that was made eagerly is of no graph.
        op = getattr(node, "op", None)
        return (None, "") if op is None else (op.graph, op.name)
    if isinstance(node, (tf.Tensor, tf.Operation)):
        return node.graph, node.name
    raise TypeError(
        "Expected Operation, Variable, or Tensor: `inputs` must be None or hold tensors, "
        f"operations and variables of a graph only (got {node!r})."
    )
