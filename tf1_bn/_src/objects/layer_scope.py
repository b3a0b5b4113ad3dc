# SPDX-License-Identifier: Apache-2.0
"""The variable scope of a layer: settled once, entered by every call."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterator

from ..runtime.tensorflow_v1 import tf
from ..state.undoing import variable_scope


class LayerScope:
    """The scope a layer keeps its variables and ops in, whenever and wherever it is called.

    It is settled by the first use, under the variable scope that is active then; without a `given`
    one it is named after `base_name`. All calls share one op scope, the one that was opened first.
    """

    def __init__(self, base_name: str, reuse: Any, given: Any = None) -> None:
        self.reuse = reuse
        self._base_name = base_name
        self._given = given
        self._captured: Any = None
        self._op_scope = ""
        # By thread: those of replicas and towers are inside one shared layer at the same time.
        self._entered: dict[int, Any] = {}

    @property
    def name(self) -> str | None:
        """The scope's full name, None while it is not settled."""
        return None if self._captured is None else str(self._captured.name)

    @property
    def op_scope(self) -> str | None:
        """The name scope of the ops of all calls, None while it is not settled."""
        return None if self._captured is None else str(self._captured.original_name_scope)

    def settle(self) -> None:
        """Opens the scope for the first time and leaves it; does nothing after that."""
        if self._captured is None:
            with self._open():
                pass

    def sharing(self) -> Any:
        """Inside, variables are shared and never made."""
        return self._open_again(reuse=True)

    @contextlib.contextmanager
    def making(self, given: Any = None) -> Iterator[Any]:
        """Inside, variables are made or shared as `reuse` says; may be nested.

        The first entry settles the scope, as `given` says where the layer has none yet.
        """
        entered = self._entered.get(threading.get_ident())
        if entered is not None:
            yield entered
            return
        first = self._captured is None
        with self._open(given) if first else self._open_again(self.reuse) as scope:
            yield scope

    def _open(self, given: Any = None) -> Any:
        given = self._given or given
        if given is None and self.reuse:
            given = self._base_name
        return self._enter(variable_scope(given, self._base_name, reuse=self.reuse))

    def _open_again(self, reuse: Any) -> Any:
        return self._enter(variable_scope(self._captured, reuse=reuse, auxiliary_name_scope=False))

    @contextlib.contextmanager
    def _enter(self, opened: Any) -> Iterator[Any]:
        # A scope that was given as an object would put the ops into a new name scope.
        with opened as (scope, op_scope), tf.name_scope(self._op_scope or op_scope):
            self._captured, self._op_scope = self._captured or scope, self._op_scope or op_scope
            thread = threading.get_ident()
            outer, self._entered[thread] = self._entered.get(thread), scope
            try:
                yield scope
            finally:
                if outer is None:
                    del self._entered[thread]
                else:
                    self._entered[thread] = outer
