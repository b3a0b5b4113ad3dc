# SPDX-License-Identifier: Apache-2.0
"""The variable scope of a layer: settled once, entered by every call."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator

from ._compat import tf


class LayerScope:
    """The scope a layer keeps its variables and ops in, whenever and wherever it is called.

    It is settled by the first use, under the variable scope that is active then, or at once where
    `given` names it. All calls share one op scope, the one that was opened first.
    """

    def __init__(self, base_name: str, reuse: Any, given: Any = None) -> None:
        self.reuse = reuse
        self._base_name = base_name
        self._captured: Any = None
        self._entered: Any = None
        if given:
            with tf.variable_scope(given) as captured:
                self._captured = captured

    @property
    def name(self) -> str | None:
        """The scope's full name, None while it is not settled."""
        return None if self._captured is None else str(self._captured.name)

    def settle(self, given: Any = None) -> None:
        """Opens the scope for the first time; does nothing after that."""
        if self._captured is not None:
            return
        if self.reuse:
            opened = tf.variable_scope(self._base_name if given is None else given)
        else:
            opened = tf.variable_scope(given, default_name=self._base_name)
        with opened as captured:
            self._captured = captured

    @contextlib.contextmanager
    def sharing(self) -> Iterator[Any]:
        """Inside, variables are shared and never made."""
        with self._enter(True) as scope:
            yield scope

    @contextlib.contextmanager
    def making(self) -> Iterator[Any]:
        """Inside, variables are made or shared as `reuse` says; may be nested."""
        if self._entered is not None:
            yield self._entered
            return
        self.settle()
        with self._enter(self.reuse) as scope:
            yield scope

    @contextlib.contextmanager
    def _enter(self, reuse: Any) -> Iterator[Any]:
        entered = tf.variable_scope(self._captured, reuse=reuse, auxiliary_name_scope=False)
        with entered as scope, tf.name_scope(scope.original_name_scope):
            outer, self._entered = self._entered, scope
            try:
                yield scope
            finally:
                self._entered = outer
