# SPDX-License-Identifier: Apache-2.0
"""Scopes that a program opens around its calls, found again in the threads that build them."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterator, Tuple

from .tensorflow_v1 import tf

# A scope that is open: its kind and value, the thread that opened it, whether in a replica.
_Opened = Tuple[str, Any, int, bool]
# The innermost last; nothing of a graph is kept once a scope is left.
_opened: list[_Opened] = []
# Their kinds, in whichever thread and graph: most programs open none, and nothing is looked for.
ever_opened: set[str] = set()
# Its `inherited`, if any, has the scopes that a tower's thread was started in, by kind.
_here = threading.local()


@contextlib.contextmanager
def opened(kind: str, value: Any) -> Iterator[None]:
    """A scope of this kind and value, which is not None, for calls in this thread and replicas."""
    scope = (kind, value, threading.get_ident(), in_replica())
    try:
        try:
            ever_opened.add(kind)
            _opened.append(scope)
            yield
        finally:
            _close(scope)
    except BaseException:
        # Ctrl-C may have come before the line above.
        _close(scope)
        raise


def _close(scope: _Opened) -> None:
    # By identity: threads of replicas do not leave their scopes in the order of opening.
    _opened[:] = [other for other in _opened if other is not scope]


def innermost(kind: str) -> Any:
    """The value of the innermost scope of this kind around the running code; None outside."""
    scopes, me = [scope[1:] for scope in _opened if scope[0] == kind], threading.get_ident()
    mine = [value for value, thread, _ in scopes if thread == me]
    if mine:
        return mine[-1]
    inherited = _inherited().get(kind)
    if inherited is not None or not in_replica():
        return inherited
    # A strategy runs replicas in threads of its own, inside what its caller has opened.
    around = [value for value, _, by_replica in scopes if not by_replica]
    return around[-1] if around else None


def scopes_around() -> dict[str, Any]:
    """The innermost scope of each kind around the running code, for `inheriting`."""
    return {kind: innermost(kind) for kind in tuple(ever_opened)}


@contextlib.contextmanager
def inheriting(scopes: dict[str, Any]) -> Iterator[None]:
    """Makes these scopes, by kind, those of this thread where it opens none itself."""
    _here.inherited = scopes
    try:
        yield
    finally:
        _here.inherited = {}


def _inherited() -> dict[str, Any]:
    return getattr(_here, "inherited", {})


def in_replica() -> bool:
    """Whether the running code is the function of a `tf.distribute` replica."""
    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()
