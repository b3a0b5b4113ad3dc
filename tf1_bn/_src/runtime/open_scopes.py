# SPDX-License-Identifier: Apache-2.0
"""Scopes that a program opens around layer calls, as threads of towers and replicas see them."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterator, NamedTuple

from .tensorflow_v1 import tf


class _Opened(NamedTuple):
    """A scope that is open: its value, the thread that opened it, and whether in a replica."""

    value: Any
    thread: int
    in_replica: bool


class _Here(threading.local):
    """What a thread was started in."""

    inherited: Any = None


class OpenScopes:
    """The open scopes of one kind, innermost last; nothing of a graph is kept once one is left."""

    def __init__(self) -> None:
        self._opened: list[_Opened] = []
        self._here = _Here()

    @contextlib.contextmanager
    def opened(self, value: Any) -> Iterator[None]:
        """A scope of this value, which is not None."""
        scope = _Opened(value, threading.get_ident(), in_replica())
        try:
            try:
                self._opened.append(scope)
                yield
            finally:
                self._close(scope)
        except BaseException:
            # Ctrl-C may have come before the line above.
            self._close(scope)
            raise

    def _close(self, scope: _Opened) -> None:
        # By identity: threads of replicas do not leave their scopes in the order of opening.
        self._opened[:] = [other for other in self._opened if other is not scope]

    def innermost(self) -> Any:
        """The value of the scope around the running code; None outside of any."""
        me = threading.get_ident()
        mine = [scope for scope in self._opened if scope.thread == me]
        if mine:
            return mine[-1].value
        if self._here.inherited is not None or not in_replica():
            return self._here.inherited
        # A strategy runs replicas in threads of its own, inside what its caller has opened.
        around = [scope for scope in self._opened if not scope.in_replica]
        return around[-1].value if around else None

    @contextlib.contextmanager
    def inheriting(self, value: Any) -> Iterator[None]:
        """Makes `value`, which may be None, that of this thread where it opens no scope itself."""
        self._here.inherited = value
        try:
            yield
        finally:
            self._here.inherited = None


def in_replica() -> bool:
    """Whether the running code is the function of a `tf.distribute` replica."""
    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()
